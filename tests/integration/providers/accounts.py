"""Providers with an API in this process: an account that knows its keys and domains, and how to misbehave."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from libs.common.facts.domain import DnsRecord
from libs.common.facts.provider import ProviderState
from libs.common.relay.opening import Surroundings, open_relay
from libs.common.relay.port import (
    BeforeDot,
    Identity,
    IdentityRefused,
    RecipientReply,
    Relay,
    RelayTroubled,
    SendResult,
    Submission,
    Trouble,
    Verdict,
    answered,
    troubled,
)

DENIED = Trouble("configuration", "The security token included in the request is invalid.")
SPF = "v=spf1 include:spf.account.example -all"


def records_for(domain: str, status: str = "unknown") -> tuple[DnsRecord, ...]:
    """What an account asks a domain's owner for: SPF, DKIM as a key and as a name, MX, DMARC."""
    rows = (
        ("TXT", f"send.{domain}", SPF, None, True),
        ("TXT", f"key._domainkey.{domain}", f"v=DKIM1; k=rsa; p={'M' * 400}", None, True),
        ("CNAME", f"token._domainkey.{domain}", "token.dkim.account.example", None, True),
        ("MX", f"send.{domain}", "feedback.account.example", 10, False),
        ("TXT", f"_dmarc.{domain}", "v=DMARC1; p=none;", None, False),
    )
    return tuple(
        DnsRecord.model_validate(
            {
                "record_type": kind,
                "name": name,
                "value": value,
                "priority": priority,
                "status": status,
                "required": required,
            }
        )
        for kind, name, value, priority, required in rows
    )


@dataclass
class Account:
    """What the provider knows, however often somebody connects. `keys` are valid; None accepts any."""

    keys: set[str] | None = None
    trouble: Trouble | None = None
    """In the way of everything; also of a check, when the keys are right."""
    refusal: str | None = None
    """Why no domain is wanted, or no message."""
    held: asyncio.Event | None = None
    """Nobody is answered before it is set."""
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released whenever somebody begins to wait."""
    identities: dict[str, Identity] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)
    sent: list[Submission] = field(default_factory=list)
    open: int = 0

    def says(self, domain: str, identity: Identity) -> None:
        """From now on this is what it says of a domain."""
        self.identities[domain] = identity


@dataclass(frozen=True)
class AccountRelay:
    """`Relay` over an account, with one key."""

    account: Account
    key: str

    async def send(self, submission: Submission, *, before_dot: BeforeDot | None = None) -> SendResult:
        trouble = await self._trouble("send")
        if trouble is not None:
            return troubled(trouble)
        if before_dot is not None and not await before_dot():
            return SendResult(abandoned=True)
        refusal = self.account.refusal
        outcome: Verdict = "accepted" if refusal is None else "failed"
        replies = tuple(
            RecipientReply(each, outcome, None, None, refusal or "ok", f"copy-{n}")
            for n, each in enumerate(submission.recipients)
        )
        if refusal is None:
            self.account.sent.append(submission)
        return answered(replies, "message-1")

    async def check_credentials(self) -> Trouble | None:
        return await self._trouble("check_credentials")

    async def create_identity(self, domain: str) -> Identity:
        await self._ask(f"create_identity {domain}")
        if self.account.refusal is not None:
            raise IdentityRefused(self.account.refusal)
        return self.account.identities.setdefault(domain, Identity("pending", records_for(domain)))

    async def verify_identity(self, domain: str) -> Identity:
        await self._ask(f"verify_identity {domain}")
        if domain not in self.account.identities:
            raise IdentityRefused(f"there is no identity {domain}")
        return self.account.identities[domain]

    async def delete_identity(self, domain: str) -> None:
        await self._ask(f"delete_identity {domain}")
        if self.account.refusal is not None:
            raise IdentityRefused(self.account.refusal)
        self.account.identities.pop(domain, None)

    async def close(self) -> None:
        self.account.open -= 1

    async def _ask(self, call: str) -> None:
        trouble = await self._trouble(call)
        if trouble is not None:
            raise RelayTroubled(trouble)

    async def _trouble(self, call: str) -> Trouble | None:
        self.account.calls.append(call)
        if self.account.held is not None:
            self.account.waiting.release()
            await self.account.held.wait()
        if self.account.trouble is not None:
            text = self.account.trouble.text.replace("<key>", self.key)
            return replace(self.account.trouble, text=text)
        return DENIED if self.account.keys is not None and self.key not in self.account.keys else None


@dataclass(frozen=True)
class Accounts:
    """The port `Relays`: ses and scaleway are `account`, smtp is real. `closed` is what stands in the way at once."""

    account: Account = field(default_factory=Account)
    closed: list[Trouble] = field(default_factory=list)

    def open(self, provider: ProviderState, secret: Mapping[str, str]) -> Relay | Trouble:
        if provider.provider_type == "smtp":
            return open_relay(provider, secret, Surroundings(), connections=1, patience="hurried")
        if self.closed:
            return self.closed[-1]
        self.account.open += 1
        self.account.regions.append(provider.region)
        return AccountRelay(self.account, secret.get("secret_access_key") or secret["api_key"])
