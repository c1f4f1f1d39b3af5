"""Relays for providers as they are stored: one adapter per type that mail can be sent through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from libs.common.errors import TempsError
from libs.common.events.provider import ProviderState, ProviderType
from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import Relay
from libs.common.relay.smtp import open_smtp_relay
from libs.common.relay.smtp_settings import SmtpSettings, Timeouts

_HURRIED = Timeouts(connect=5, banner=5, command=5, data=5, block=5, final_dot=8, quit=1, check=8)
"""A person is waiting: a test ends within ten seconds, with the words of the step that took too long."""


@dataclass(frozen=True, slots=True)
class OpenRelays:
    """The port `Relays` over libs.common.relay."""

    policy: OutboundPolicy

    def open(self, provider: ProviderState, secret: Mapping[str, str]) -> Relay:
        """Raises `provider_type_not_available` for a type without an adapter."""
        opener = _OPENERS.get(provider.provider_type)
        if opener is None:
            raise TempsError(f"type {provider.provider_type} is not available yet", slug="provider_type_not_available")
        return opener(provider, secret, self.policy)


def _open_smtp(provider: ProviderState, secret: Mapping[str, str], policy: OutboundPolicy) -> Relay:
    endpoint = provider.smtp
    if endpoint is None:
        raise ValueError(f"provider {provider.id} is of type smtp and has no endpoint")
    settings = SmtpSettings(
        host=endpoint.host,
        port=endpoint.port,
        username=secret.get("username"),
        password=SecretStr(secret["password"]) if "password" in secret else None,
        encryption=endpoint.encryption,
        accept_invalid_certs=endpoint.accept_invalid_certs,
        max_connections=1,
        timeouts=_HURRIED,
    )
    return open_smtp_relay(settings, policy=policy)


_OPENERS: Mapping[ProviderType, Callable[[ProviderState, Mapping[str, str], OutboundPolicy], Relay]] = {
    "smtp": _open_smtp,
}
