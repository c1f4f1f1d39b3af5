"""One project at Scaleway: what it has sent, which domains it has, and the rules that requests are held to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from multidict import MultiMapping

from tests.support import scaleway_shapes as shapes
from tests.support.scaleway_shapes import Answer

LARGEST_PAGE = 100


@dataclass(frozen=True, slots=True)
class Call:
    """One request, its credentials found good. `id` is the one in its path."""

    id: str
    query: MultiMapping[str]
    body: Mapping[str, Any]


Handler = Callable[[Call], Answer]


@dataclass(slots=True)
class Project:
    """`published` names the domains whose records DNS has."""

    secret_key: str = field(default_factory=lambda: str(uuid4()))
    project_id: str = field(default_factory=lambda: str(uuid4()))
    published: set[str] = field(default_factory=set)
    missing: tuple[str, ...] = ()
    """Records that are not there even where the domain is published: spf, dkim, dmarc, mx."""
    unpublished_status: str = "unchecked"
    """What a check makes of a domain whose records are not there."""
    first_status: str = "new"
    letters: list[Mapping[str, Any]] = field(default_factory=list)
    """The bodies of the requests to send that were taken."""
    emails: dict[str, dict[str, Any]] = field(default_factory=dict)
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)

    def checked(self, domain: str) -> dict[str, Any]:
        """This domain was registered before, and found to be in order."""
        made = shapes.new_domain(domain, self.project_id, status="checked")
        self.domains[made["id"]] = made
        self.published.add(domain)
        return made

    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        """Method, path below the region, and what answers."""
        return (
            ("POST", "/emails", self._send),
            ("GET", "/emails", self._list_emails),
            ("GET", "/emails/{id}", self._email),
            ("POST", "/emails/{id}/cancel", self._cancel),
            ("POST", "/domains", self._create_domain),
            ("GET", "/domains", self._list_domains),
            ("GET", "/domains/{id}", self._domain),
            ("POST", "/domains/{id}/check", self._check),
            ("POST", "/domains/{id}/revoke", self._revoke),
            ("GET", "/domains/{id}/verification", self._verification),
        )

    def refusal(self, token: str | None, project_id: str | None, method: str) -> Answer | None:
        """Why this caller may not, None when it may."""
        if token != self.secret_key:
            return shapes.denied("not_found" if token else "invalid_argument")
        if project_id not in {None, self.project_id}:
            return shapes.forbidden("read" if method == "GET" else "write", "project")
        return None

    def _send(self, call: Call) -> Answer:
        wrong = shapes.wrong_with(call.body)
        if wrong:
            return shapes.invalid(*wrong)
        domain = call.body["from"]["email"].rpartition("@")[2]
        if not any(each["name"] == domain and each["status"] == "checked" for each in self.domains.values()):
            return shapes.precondition(f'domain "{domain}" is not checked in this project')
        message_id = str(uuid4())
        made = [
            shapes.new_email(call.body, kind, each["email"], message_id, self.first_status)
            for kind, each in shapes.recipients_of(call.body)
        ]
        self.emails.update({each["id"]: each for each in made})
        self.letters.append(call.body)
        return 200, {"emails": made}

    def _list_emails(self, call: Call) -> Answer:
        found = [
            each
            for each in self.emails.values()
            if all(each[name] == call.query.get(name, each[name]) for name in ("mail_rcpt", "mail_from", "message_id"))
            and each["status"] in call.query.getall("statuses", [each["status"]])
        ]
        return _page(call, "emails", found[::-1])

    def _cancel(self, call: Call) -> Answer:
        status, email = self._email(call)
        if status == 200 and email["status"] in {"sent", "failed"}:
            return shapes.precondition("the email has been sent already")
        if status == 200:
            self.emails[call.id].update(status="canceled", status_details="canceled by the user")
            email = dict(self.emails[call.id])
        return status, email

    def _create_domain(self, call: Call) -> Answer:
        name = call.body.get("domain_name", "")
        if "." not in name:
            return shapes.invalid(("domain_name", "format", f'Invalid domain name: "{name}"'))
        if any(each["name"] == name and each["status"] != "revoked" for each in self.domains.values()):
            return shapes.invalid(("domain_name", "constraint", f'The domain "{name}" already exists in this project'))
        made = shapes.new_domain(name, self.project_id, autoconfig=bool(call.body.get("autoconfig")))
        self.domains[made["id"]] = made
        return 200, made

    def _list_domains(self, call: Call) -> Answer:
        found = [
            each
            for each in self.domains.values()
            if each["name"] == call.query.get("name", each["name"])
            and each["status"] in call.query.getall("status", [each["status"]])
        ]
        return _page(call, "domains", found)

    def _email(self, call: Call) -> Answer:
        found = self.emails.get(call.id)
        return shapes.not_found("email", call.id) if found is None else (200, dict(found))

    def _domain(self, call: Call) -> Answer:
        found = self.domains.get(call.id)
        if found is None:
            return shapes.not_found("domain", call.id)
        if found["next_check_at"] is not None:
            # The check is made some time after it was asked for; to the one who asks again it is done.
            there = found["name"] in self.published and not self.missing
            status = "checked" if there else self.unpublished_status
            valid = shapes.now() if there else found["last_valid_at"]
            found.update(status=status, next_check_at=None, last_valid_at=valid)
        return 200, dict(found)

    def _check(self, call: Call) -> Answer:
        status, domain = self._domain(call)
        if status == 200 and domain["status"] == "revoked":
            return shapes.precondition("the domain is revoked")
        if status == 200:
            pending = {"next_check_at": shapes.now(), "status": "pending"}
            self.domains[domain["id"]].update(pending)
            domain = {**domain, **pending}
        return status, domain

    def _revoke(self, call: Call) -> Answer:
        status, domain = self._domain(call)
        if status == 200:
            self.domains[domain["id"]].update(
                status="revoked", revoked_at=domain["revoked_at"] or shapes.now(), records=None
            )
            domain = dict(self.domains[domain["id"]])
        return status, domain

    def _verification(self, call: Call) -> Answer:
        status, domain = self._domain(call)
        if status != 200:
            return status, domain
        published = domain["name"] in self.published
        return 200, shapes.verification(domain, published=published, missing=self.missing)


def _page(call: Call, name: str, found: Sequence[Mapping[str, Any]]) -> Answer:
    page, size = int(call.query.get("page", 1)), int(call.query.get("page_size", 20))
    if page < 1 or not 1 <= size <= LARGEST_PAGE:
        return shapes.invalid(("page_size", "constraint", "must be between 1 and 100"))
    return 200, {name: list(found[(page - 1) * size : page * size]), "total_count": len(found)}
