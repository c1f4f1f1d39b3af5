"""Ask a provider something while a person waits: bounded in time, and what it refuses becomes our refusal.

Nothing here is done under the registry's lock: others go on while a provider takes its time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from libs.common.errors import TempsError
from libs.common.facts.provider import ProviderState
from libs.common.relay.kinds import KINDS, label_of
from libs.common.relay.port import IdentityRefused, Relay, RelayTroubled, Trouble
from libs.common.relay.redact import redact, spellings
from services.providers.accounts.kind_rules import require_kind
from services.providers.ports import Registry

log = logging.getLogger(__name__)

CHECK_SECONDS = 8.0
IDENTITY_SECONDS = 8.0
GOODBYE_SECONDS = 1.0

_PUBLIC = frozenset({"username"}) | {
    each.name for kind in KINDS.values() for each in kind.credentials or () if each.shown == "clear"
}
"""Stored beside the secrets and shown in clear; and the user name, which is often a common word, and which the SMTP
adapter has struck out already where the relay said it."""
_SLUGS: Mapping[str, str] = {"configuration": "credentials_rejected"}
_DETAILS: Mapping[str, str] = {
    "configuration": "{label} does not accept the credentials: {words}",
    "connection": "{label} cannot be reached: {words}",
    "throttled": "{label} wants fewer requests for now, and has not refused the credentials: {words}",
    "quota": "{label} says that a quota is used up, and has not refused the credentials: {words}",
}
_SUGGESTIONS: Mapping[str, str] = {
    "configuration": "Give it credentials that are valid in its region and may do this.",
    "connection": "Try again in a moment.",
    "throttled": "Try again in a minute.",
    "quota": "Try again when the quota is renewed, or have it raised.",
}
_RETRY_AFTER: Mapping[str, int] = {"connection": 5, "throttled": 60, "quota": 3_600}
"""Seconds."""


def struck_out(text: str, secret: Mapping[str, str]) -> str:
    """A provider's words made fit to show: `redact` with the secrets among its stored credentials."""
    return redact(text, spellings(*(value for name, value in secret.items() if name not in _PUBLIC)))


def refusal(trouble: Trouble, provider: ProviderState, secret: Mapping[str, str], *, advice: str = "") -> TempsError:
    """422 where the credentials are at fault, 502 where nobody knows; `advice` is added to the suggestion."""
    kind = trouble.kind
    label = label_of(provider.provider_type)
    suggestion = struck_out(trouble.suggestion, secret) if trouble.suggestion else _SUGGESTIONS[kind]
    return TempsError(
        _DETAILS[kind].format(label=label, words=struck_out(trouble.text, secret)),
        slug=_SLUGS.get(kind, "provider_unreachable"),
        suggestion=f"{suggestion} {advice}".strip(),
        retry_after=_RETRY_AFTER.get(kind),
    )


@asynccontextmanager
async def asked(
    registry: Registry, provider: ProviderState, secret: Mapping[str, str], *, seconds: float, advice: str = ""
) -> AsyncIterator[Relay]:
    """A relay to ask, for at most `seconds`.

    What it raises inside comes out as `TempsError`: `credentials_rejected`, `identity_refused`,
    `provider_unreachable` (the time being over among it).
    """
    relay = registry.relays.open(provider, secret)
    if isinstance(relay, Trouble):
        raise refusal(relay, provider, secret, advice=advice)
    try:
        async with asyncio.timeout(seconds):
            yield relay
    except TimeoutError:
        trouble = Trouble("connection", f"no answer within {seconds:g} seconds")
        raise refusal(trouble, provider, secret, advice=advice) from None
    except RelayTroubled as error:
        raise refusal(error.trouble, provider, secret, advice=advice) from error
    except IdentityRefused as error:
        label = label_of(provider.provider_type)
        text = f"{label} refuses the domain: {struck_out(error.text, secret)}"
        raise TempsError(text, slug="identity_refused") from error
    finally:
        await goodbye(relay)


async def goodbye(relay: Relay) -> None:
    """Close a relay; one that does not part in time is left to the loop."""
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            await relay.close()
    except TimeoutError:
        log.warning("a relay did not close within %g seconds", GOODBYE_SECONDS)


async def check_credentials(registry: Registry, provider: ProviderState, secret: Mapping[str, str]) -> None:
    """Have the provider look at its credentials, before anything of it is stored.

    `provider` need not be known to anybody yet. Some kinds are not asked (`Kind.is_checked_live`). Raises `TempsError`:
    `credentials_rejected`, `provider_unreachable`. A provider that throttles or speaks of a quota has proved nothing:
    that is the latter.
    """
    if not require_kind(provider.provider_type).is_checked_live:
        return
    advice = "With ?verify=false it is stored unchecked."
    async with asked(registry, provider, secret, seconds=CHECK_SECONDS, advice=advice) as relay:
        trouble = await relay.check_credentials()
    if trouble is not None:
        raise refusal(trouble, provider, secret, advice=advice)
