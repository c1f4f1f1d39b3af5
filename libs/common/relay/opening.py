"""From a stored provider and its decrypted secret to a relay: the one place that knows every adapter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import SecretStr

from libs.common.events.provider import ProviderState, ProviderType
from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import Relay, Trouble
from libs.common.relay.smtp import SmtpSettings, Timeouts, open_smtp_relay
from libs.common.settings import RelaySettings, own_ports, own_servers

Patience = Literal["patient", "brisk", "hurried"]
"""How long to wait: `patient` as the standards say, `brisk` where another provider could take over, `hurried` where a
person is waiting and all of it has to end within ten seconds."""

_SMTP_PATIENCE: Mapping[Patience, Timeouts] = {
    "patient": Timeouts(),
    "brisk": Timeouts(connect=5, banner=10, command=20, data=20, block=60),
    "hurried": Timeouts(connect=5, banner=5, command=5, data=5, block=5, final_dot=8, quit=1, check=8),
}


# Seconds to connect, and for the answer once the request is out.
_HTTP_PATIENCE: Mapping[Patience, tuple[float, float]] = {"patient": (5, 30), "brisk": (5, 15), "hurried": (3, 6)}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the operator allows and where things are, the same for every provider.

    `smtp_ports` are those of SMTP relays; empty is any.
    """

    policy: OutboundPolicy = field(default_factory=OutboundPolicy)
    allow_custom_endpoints: bool = False
    scaleway_api_url: str = "https://api.scaleway.com"
    smtp_ports: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Wanted:
    provider: ProviderState
    secret: Mapping[str, str] = field(repr=False)
    surroundings: Surroundings
    connections: int
    patience: Patience


def surroundings(settings: RelaySettings) -> Surroundings:
    """Those that the settings describe."""
    inbox_host, _, inbox_port = (settings.local_inbox_smtp or "").rpartition(":")
    policy = OutboundPolicy(
        own_ports=own_ports(settings),
        own_servers=own_servers(settings),
        allow_private=settings.outbound_policy == "allow_private",
        inbox=(inbox_host, int(inbox_port)) if inbox_port.isdecimal() else None,
    )
    return Surroundings(
        policy=policy,
        allow_custom_endpoints=settings.allow_custom_endpoints,
        scaleway_api_url=settings.scaleway_api_url,
        smtp_ports=settings.smtp_ports,
    )


def open_relay(
    provider: ProviderState,
    secret: Mapping[str, str],
    around: Surroundings,
    *,
    connections: int,
    patience: Patience = "patient",
) -> Relay | Trouble:
    """A relay, nothing connected yet; or the configuration trouble that stands in the way. Call it inside the loop."""
    return _OPENERS[provider.provider_type](_Wanted(provider, secret, around, connections, patience))


def _smtp(wanted: _Wanted) -> Relay:
    endpoint, secret = wanted.provider.smtp, wanted.secret
    if endpoint is None:
        raise ValueError(f"provider {wanted.provider.id} is of type smtp and has no endpoint")
    settings = SmtpSettings(
        host=endpoint.host,
        port=endpoint.port,
        username=secret.get("username") or None,
        password=SecretStr(secret["password"]) if secret.get("password") is not None else None,
        encryption=endpoint.encryption,
        accept_invalid_certs=endpoint.accept_invalid_certs,
        max_connections=wanted.connections,
        timeouts=_SMTP_PATIENCE[wanted.patience],
        helo_name=wanted.provider.helo_name,
    )
    around = wanted.surroundings
    return open_smtp_relay(settings, policy=replace(around.policy, ports=around.smtp_ports))


def _ses(wanted: _Wanted) -> Relay | Trouble:
    from libs.common.relay.ses import SesSettings, endpoint_trouble, open_ses_relay  # noqa: PLC0415 - few need it

    secret, around = wanted.secret, wanted.surroundings
    endpoint = secret.get("endpoint_url") or None
    if endpoint is not None and not around.allow_custom_endpoints:
        words = "the provider has an endpoint of its own, and the operator does not allow any (any more)"
        return Trouble("configuration", words, suggestion="Set TEMPS_ALLOW_CUSTOM_ENDPOINTS, or remove endpoint_url.")
    if endpoint is not None and (wrong := endpoint_trouble(endpoint)) is not None:
        return wrong
    if not wanted.provider.region:
        return Trouble("configuration", "the provider has no region, and SES has no other way to be found")
    connect, read = _HTTP_PATIENCE[wanted.patience]
    settings = SesSettings(
        access_key_id=secret["access_key_id"],
        secret_access_key=SecretStr(secret["secret_access_key"]),
        region=wanted.provider.region,
        endpoint_url=endpoint,
        max_connections=wanted.connections,
        connect_timeout=connect,
        read_timeout=read,
    )
    return open_ses_relay(settings, policy=around.policy)


def _scaleway(wanted: _Wanted) -> Relay | Trouble:
    # Imported here: aiohttp costs memory and time, and most installations never need it.
    from libs.common.relay.scaleway import ScalewaySettings, open_scaleway_relay  # noqa: PLC0415

    connect, read = _HTTP_PATIENCE[wanted.patience]
    try:
        settings = ScalewaySettings(
            api_key=SecretStr(wanted.secret.get("api_key", "")),
            project_id=wanted.secret.get("project_id", ""),
            region=wanted.provider.region,
            api_url=wanted.surroundings.scaleway_api_url,
            max_connections=wanted.connections,
            connect_timeout=connect,
            read_timeout=read,
        )
    except ValueError as error:
        return Trouble("configuration", f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return open_scaleway_relay(settings)


_OPENERS: Mapping[ProviderType, Callable[[_Wanted], Relay | Trouble]] = {
    "smtp": _smtp,
    "ses": _ses,
    "scaleway": _scaleway,
}
