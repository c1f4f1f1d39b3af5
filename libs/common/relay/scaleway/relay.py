"""The Scaleway adapter of the relay port: Transactional Email v1alpha1, which writes and signs the messages itself.

A call is taken whole or refused whole, names each recipient's copy, and knows no idempotency key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from libs.common.relay.http.messages import Abandoned, NoAnswer, NotSent
from libs.common.relay.port import (
    BeforeDot,
    Identity,
    IdentityRefused,
    RelayTroubled,
    SendResult,
    Submission,
    Trouble,
    answered,
    troubled,
    unknown,
)
from libs.common.relay.scaleway.answers import meaning, send_result, trouble_of, words
from libs.common.relay.scaleway.call import Answer, Caller, Method, trouble
from libs.common.relay.scaleway.domains import identity
from libs.common.relay.scaleway.letter import request_body, undeliverable
from libs.common.relay.scaleway.settings import ScalewaySettings, is_id

__all__ = ["ScalewayRelay", "ScalewaySettings", "open_scaleway_relay"]

T = TypeVar("T")

_ABOUT_THE_DOMAIN = frozenset({"invalid_arguments", "not_found", "resource_expired"})
"""All else that refuses a question may be over in a minute, and a domain that is verified stays so."""


def open_scaleway_relay(settings: ScalewaySettings) -> "ScalewayRelay":
    """A relay for these settings; nothing is connected before the first call. Call it inside the loop."""
    return ScalewayRelay(settings, Caller(settings))


class ScalewayRelay:
    """`libs.common.relay.port.Relay` for Scaleway; made by `open_scaleway_relay`."""

    def __init__(self, settings: ScalewaySettings, caller: Caller) -> None:
        self.settings = settings
        self._caller = caller
        self._secrets = settings.secrets()

    async def send(self, submission: Submission, *, before_dot: BeforeDot | None = None) -> SendResult:
        """One call for all recipients. Raises `ValueError` for a submission without a letter that names them.

        Recipients whose mail Scaleway is known to take and lose fail here, the others get theirs.
        """
        lost = undeliverable(submission)
        if not lost:
            return await self._sent(submission, before_dot)
        rest = tuple(address for address in submission.recipients if address not in lost)
        if not rest:
            return answered(tuple(lost.values()), None)
        result = await self._sent(replace(submission, recipients=rest), before_dot)
        if not result.recipients:
            return result
        replies = lost | {reply.address: reply for reply in result.recipients}
        return answered(tuple(replies[address] for address in submission.recipients), result.provider_message_id)

    async def check_credentials(self) -> Trouble | None:
        """A look at the project's domains: the key, the project, the region and the way there are right."""
        query = {"project_id": self.settings.project_id, "page_size": "1"}
        try:
            answer = await self._caller.call("GET", "/domains", query=query)
        except NotSent as failure:
            return trouble(failure)
        except NoAnswer as silence:
            return Trouble("connection", silence.text)
        if answer.status // 100 != 2:
            return trouble_of(answer, self._secrets) or Trouble("configuration", words(answer, self._secrets))
        if answer.content is None:
            return Trouble("configuration", "what answers at the API's URL is not Scaleway's API")
        return None

    async def create_identity(self, domain: str) -> Identity:
        """Takes up a domain that is there already; DNS is looked at when it is verified."""
        return await self._in_time(lambda: self._create(domain))

    async def verify_identity(self, domain: str) -> Identity:
        """The check is made some time after it is asked for: what the last one found counts until then."""
        return await self._in_time(lambda: self._verify(domain))

    async def delete_identity(self, domain: str) -> None:
        """Revokes it, which cannot be undone; created again, it is a new one."""
        await self._in_time(lambda: self._delete(domain))

    async def close(self) -> None:
        """Idle connections go; those at work are closed when they are done."""
        await self._caller.close()

    async def _sent(self, submission: Submission, before_dot: BeforeDot | None) -> SendResult:
        body = request_body(submission, self.settings.project_id)
        try:
            answer = await self._caller.call("POST", "/emails", body=body, before_dot=before_dot)
        except Abandoned:
            return SendResult(abandoned=True)
        except NotSent as failure:
            return troubled(trouble(failure))
        except NoAnswer as silence:
            return unknown(silence.text)
        return send_result(submission, answer, self._secrets)

    async def _create(self, name: str) -> Identity:
        found = await self._find(name)
        if not found:
            body = {"project_id": self.settings.project_id, "domain_name": name, "autoconfig": False}
            # Deprecated and still sent by its own clients.
            answer = await self._asked("POST", "/domains", body={**body, "accept_tos": True})
            if answer.status // 100 == 2:
                return identity(name, _object(answer))
            # Somebody else may have been first; how that is refused is documented nowhere.
            found = await self._find(name)
            if not found:
                raise IdentityRefused(words(answer, self._secrets))
        return identity(name, found[0])

    async def _verify(self, name: str) -> Identity:
        path = await self._path(name)
        checked = await self._asked("POST", f"{path}/check", body={})
        # Some time after it was asked for is sometimes at once. That no check is begun now (one is under way, a quota
        # is used up) says nothing of the domain either: its status does.
        fresh = await self._asked("GET", path)
        answer = fresh if fresh.status // 100 == 2 and fresh.content else checked
        if answer.status // 100 != 2:
            raise _no(answer, self._secrets)
        seen = await self._asked("GET", f"{path}/verification")
        return identity(name, _object(answer), seen.content if seen.status // 100 == 2 else None)

    async def _delete(self, name: str) -> None:
        for domain in await self._find(name):
            answer = await self._asked("POST", f"/domains/{_id(domain)}/revoke", body={})
            if answer.status // 100 != 2 and answer.status != 404:
                raise IdentityRefused(words(answer, self._secrets))

    async def _path(self, name: str) -> str:
        found = await self._find(name)
        if not found:
            raise IdentityRefused(f"{name} is not registered in this project at Scaleway")
        return f"/domains/{_id(found[0])}"

    async def _find(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The domains of that very name that are not revoked, the newest first."""
        query = {"name": name, "project_id": self.settings.project_id, "page_size": "100"}
        answer = await self._asked("GET", "/domains", query=query)
        if answer.status // 100 != 2:
            raise _no(answer, self._secrets)
        listed = _object(answer).get("domains")
        found = [
            each
            for each in (listed if isinstance(listed, list) else [])
            if isinstance(each, dict)
            and str(each.get("name", "")).rstrip(".").lower() == name
            and each.get("status") != "revoked"
        ]
        return sorted(found, key=lambda each: str(each.get("created_at") or ""), reverse=True)

    async def _asked(self, method: Method, path: str, **given: Any) -> Answer:
        """The answer, unless it speaks of the provider. Raises `RelayTroubled`."""
        try:
            answer = await self._caller.call(method, path, **given)
        except NotSent as failure:
            raise RelayTroubled(trouble(failure)) from None
        except NoAnswer as silence:
            raise RelayTroubled(Trouble("connection", silence.text)) from None
        if answer.status // 100 == 2:
            return answer
        # How many domains a plan has is no trouble of sending, and what is not found was an id: both are answers.
        found = trouble_of(answer, self._secrets)
        if found is not None and meaning(answer) != "quota" and answer.type != "not_found":
            raise RelayTroubled(found)
        return answer

    async def _in_time(self, asking: Callable[[], Awaitable[T]]) -> T:
        """Several exchanges in the time of one, for somebody is waiting. Raises `RelayTroubled`."""
        seconds = self.settings.connect_timeout + self.settings.read_timeout
        try:
            async with asyncio.timeout(seconds):
                return await asking()
        except TimeoutError:
            raise RelayTroubled(Trouble("connection", f"no answer within {seconds:g} seconds")) from None


def _no(answer: Answer, secrets: tuple[str, ...]) -> IdentityRefused | RelayTroubled:
    """A refused request about a domain: `IdentityRefused` only if the answer is about the domain itself."""
    said = words(answer, secrets)
    if answer.type in _ABOUT_THE_DOMAIN:
        return IdentityRefused(said)
    return RelayTroubled(Trouble("connection", said))


def _object(answer: Answer) -> Mapping[str, Any]:
    """Raises `RelayTroubled` for a yes that says nothing."""
    if answer.content is None:
        raise RelayTroubled(Trouble("connection", "Scaleway's answer is not the JSON it should be"))
    return answer.content


def _id(domain: Mapping[str, Any]) -> str:
    """It becomes part of a path, so it is not taken on trust."""
    found = domain.get("id")
    if not isinstance(found, str) or not is_id(found):
        raise RelayTroubled(Trouble("connection", "Scaleway's answer names a domain without an id"))
    return found
