"""An SES account as its API shows it: identities, configuration sets, and what was handed over."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.utils import parseaddr
from typing import Any

MOST_RECIPIENTS = 50


class Refusal(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class Letter:
    """One message that was taken: for whom, by kind, and the octets."""

    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    message: bytes
    tags: Mapping[str, str]

    @property
    def recipients(self) -> tuple[str, ...]:
        return (*self.to, *self.cc, *self.bcc)


@dataclass(slots=True)
class Known:
    """An identity. `status` is VerificationStatus; DKIM has the same unless told otherwise."""

    status: str = "PENDING"
    tokens: tuple[str, ...] = ()
    mail_from: str | None = None
    mail_from_status: str = "PENDING"
    dkim_status: str | None = None
    error_type: str | None = None
    configuration_set: str | None = None
    origin: str = "AWS_SES"

    def dkim(self) -> dict[str, Any]:
        """DkimAttributes."""
        return {
            "SigningEnabled": True,
            "Status": self.dkim_status or self.status,
            "Tokens": list(self.tokens),
            "SigningAttributesOrigin": self.origin,
            "NextSigningKeyLength": "RSA_2048_BIT",
            "CurrentSigningKeyLength": "RSA_2048_BIT",
        }


@dataclass(slots=True)
class Account:
    """`rights` that are missing from it are refused as IAM does; None is all of them."""

    identities: dict[str, Known] = field(default_factory=dict)
    configuration_sets: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    sending_enabled: bool = True
    enforcement: str = "HEALTHY"
    sandbox: bool = False
    denied: set[str] = field(default_factory=set)
    """Operations that the key has no right to."""

    def answer(self, operation: str, names: Sequence[str], body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer's body. Raises `Refusal`."""
        handlers: Mapping[str, Callable[..., dict[str, Any]]] = {
            "SendEmail": self._send,
            "GetAccount": self._account,
            "CreateEmailIdentity": self._create,
            "GetEmailIdentity": self._get,
            "DeleteEmailIdentity": self._delete,
            "PutEmailIdentityMailFromAttributes": self._mail_from,
            "CreateConfigurationSet": self._set,
            "CreateConfigurationSetEventDestination": self._destination,
            "UpdateConfigurationSetEventDestination": self._other_destination,
        }
        if operation in self.denied:
            words = f"User: arn:aws:iam::123456789012:user/x is not authorized to perform: ses:{operation}"
            raise Refusal(403, "AccessDeniedException", words)
        if operation not in handlers:
            raise Refusal(404, "UnknownOperationException", "")
        return handlers[operation](*names, body)

    def publish(self, domain: str) -> None:
        """From now on SES finds the domain's records in DNS."""
        known = self.identities[domain]
        known.status, known.mail_from_status = "SUCCESS", "SUCCESS"

    def _send(self, body: Mapping[str, Any]) -> dict[str, Any]:
        message = base64.b64decode(body["Content"]["Raw"]["Data"], validate=True)
        header = message_from_bytes(message, policy=policy.default)["From"]
        sender = body.get("FromEmailAddress") or parseaddr(str(header))[1]
        to, cc, bcc = (tuple(body["Destination"].get(f"{kind}Addresses", ())) for kind in ("To", "Cc", "Bcc"))
        if not self.sending_enabled:
            raise Refusal(400, "SendingPausedException", "Email sending is disabled for the account.")
        if not 0 < len((*to, *cc, *bcc)) <= MOST_RECIPIENTS:
            raise Refusal(400, "BadRequestException", "Recipient count is out of range")
        known = self.identities.get(parseaddr(sender)[1].rpartition("@")[2])
        if known is None or known.status not in {"SUCCESS", "TEMPORARY_FAILURE"}:
            words = f"Email address is not verified. The following identities failed the check: {sender}"
            raise Refusal(400, "MessageRejected", words)
        tags = {tag["Name"]: tag["Value"] for tag in body.get("EmailTags", ())}
        self.letters.append(Letter(sender, to, cc, bcc, message, tags))
        return {"MessageId": f"0102018f{len(self.letters):08d}-6f0d-4a8e-a1ee-0f6f6f6f6f6f-000000"}

    def _account(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "DedicatedIpAutoWarmupEnabled": False,
            "EnforcementStatus": self.enforcement,
            "ProductionAccessEnabled": not self.sandbox,
            "SendQuota": {"Max24HourSend": 200.0, "MaxSendRate": 1.0, "SentLast24Hours": 0.0},
            "SendingEnabled": self.sending_enabled,
        }

    def _create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        domain = body["EmailIdentity"]
        if domain in self.identities:
            raise Refusal(400, "AlreadyExistsException", f"Email identity {domain} already exist.")
        wanted = body.get("ConfigurationSetName")
        if wanted is not None and wanted not in self.configuration_sets:
            raise Refusal(404, "NotFoundException", f"Configuration set <{wanted}> does not exist.")
        length = body.get("DkimSigningAttributes", {}).get("NextSigningKeyLength")
        if length != "RSA_2048_BIT":
            raise Refusal(400, "BadRequestException", "The test expects Easy DKIM with 2048 bits.")
        tokens = tuple(hashlib.sha256(f"{domain}/{n}".encode()).hexdigest()[:32] for n in range(3))
        known = self.identities[domain] = Known(tokens=tokens, configuration_set=wanted)
        return {"IdentityType": "DOMAIN", "VerifiedForSendingStatus": False, "DkimAttributes": known.dkim()}

    def _get(self, domain: str, _: Mapping[str, Any]) -> dict[str, Any]:
        known = self._known(domain)
        answer = {
            "IdentityType": "DOMAIN",
            "FeedbackForwardingStatus": True,
            "VerifiedForSendingStatus": known.status == "SUCCESS",
            "DkimAttributes": known.dkim(),
            "MailFromAttributes": {"BehaviorOnMxFailure": "USE_DEFAULT_VALUE"},
            "Policies": {},
            "Tags": [],
            "VerificationStatus": known.status,
        }
        if known.mail_from is not None:
            status = {"MailFromDomain": known.mail_from, "MailFromDomainStatus": known.mail_from_status}
            answer["MailFromAttributes"] = {**status, "BehaviorOnMxFailure": "USE_DEFAULT_VALUE"}
        if known.configuration_set is not None:
            answer["ConfigurationSetName"] = known.configuration_set
        if known.error_type is not None:
            answer["VerificationInfo"] = {"ErrorType": known.error_type, "LastCheckedTimestamp": 1762560000}
        return answer

    def _delete(self, domain: str, _: Mapping[str, Any]) -> dict[str, Any]:
        self._known(domain)
        del self.identities[domain]
        return {}

    def _mail_from(self, domain: str, body: Mapping[str, Any]) -> dict[str, Any]:
        known = self._known(domain)
        if not body["MailFromDomain"].endswith(f".{domain}"):
            raise Refusal(400, "BadRequestException", "The MAIL FROM domain must be a subdomain of the identity.")
        known.mail_from, known.mail_from_status = body["MailFromDomain"], "PENDING"
        return {}

    def _set(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body["ConfigurationSetName"]
        if name in self.configuration_sets:
            raise Refusal(400, "AlreadyExistsException", f"Configuration set <{name}> already exists.")
        self.configuration_sets[name] = {}
        return {}

    def _destination(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        destinations = self.configuration_sets[name]
        if body["EventDestinationName"] in destinations:
            raise Refusal(400, "AlreadyExistsException", "An event destination of this name already exists.")
        if not body["EventDestination"]["SnsDestination"]["TopicArn"].startswith("arn:aws:sns:"):
            raise Refusal(400, "BadRequestException", "Invalid SNS topic ARN.")
        destinations[body["EventDestinationName"]] = body["EventDestination"]
        return {}

    def _other_destination(self, name: str, destination: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.configuration_sets[name][destination] = body["EventDestination"]
        return {}

    def _known(self, domain: str) -> Known:
        if domain not in self.identities:
            raise Refusal(404, "NotFoundException", f"Email identity {domain} does not exist.")
        return self.identities[domain]
