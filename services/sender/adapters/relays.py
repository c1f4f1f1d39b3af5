"""From a provider's settings and its encrypted secret to a relay that can send."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from pydantic import SecretStr

from libs.common.bus import Bus
from libs.common.events.provider import ProviderState
from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import Relay, Trouble
from libs.common.relay.smtp import SmtpSettings, open_smtp_relay
from libs.common.secrets import KeyRing, SecretsError
from libs.common.streams import SECRETS, secret_subject
from services.sender.adapters.journal import persistently

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Relays:
    """Opens relays; the secret is read when it is needed and kept by the relay alone."""

    bus: Bus
    ring: KeyRing
    policy: OutboundPolicy

    async def open(self, provider: ProviderState, connections: int) -> Relay | Trouble:
        """A relay of that many connections, or the configuration trouble that stands in the way."""
        if provider.smtp is None:
            return Trouble("configuration", f"There is no adapter for {provider.provider_type} yet.")
        try:
            secret = await self._secret(provider)
        except SecretsError as error:
            return Trouble("configuration", f"The provider's credentials cannot be read: {error}")
        password = secret.get("password")
        endpoint = provider.smtp
        return open_smtp_relay(
            SmtpSettings(
                host=endpoint.host,
                port=endpoint.port,
                username=secret.get("username") or None,
                password=SecretStr(password) if password is not None else None,
                encryption=endpoint.encryption,
                accept_invalid_certs=endpoint.accept_invalid_certs,
                max_connections=connections,
            ),
            policy=self.policy,
        )

    async def _secret(self, provider: ProviderState) -> Mapping[str, str | None]:
        version = provider.credential_version
        if version is None:
            return {}
        subject = secret_subject("provider", provider.id, version)
        stored = await persistently(lambda: self.bus.direct_last(SECRETS, subject))
        if stored is None:
            raise SecretsError("they are not in the store")
        plain = self.ring.decrypt(stored.data, bound_to=f"provider/{provider.id}")
        try:
            secret: Mapping[str, str | None] = orjson.loads(plain)
        except orjson.JSONDecodeError:
            raise SecretsError("they are not in the form this version knows") from None
        return secret
