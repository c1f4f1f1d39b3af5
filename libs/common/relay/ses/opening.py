"""An SES relay for a stored provider."""

from pydantic import SecretStr

from libs.common.relay.opening import HTTP_PATIENCE, RelaySpec
from libs.common.relay.port import Relay, Trouble
from libs.common.relay.ses.relay import open_ses_relay
from libs.common.relay.ses.settings import SesSettings, endpoint_trouble


def open_provider(spec: RelaySpec) -> Relay | Trouble:
    """`libs.common.relay.opening.Opener`."""
    secret, around = spec.secret, spec.surroundings
    endpoint = secret.get("endpoint_url") or None
    if endpoint is not None and not around.allow_custom_endpoints:
        words = "the provider has an endpoint of its own, and the operator does not allow any (any more)"
        return Trouble("configuration", words, suggestion="Set TEMPS_ALLOW_CUSTOM_ENDPOINTS, or remove endpoint_url.")
    if endpoint is not None and (wrong := endpoint_trouble(endpoint)) is not None:
        return wrong
    if not spec.provider.region:
        return Trouble("configuration", "the provider has no region, and SES has no other way to be found")
    connect, read = HTTP_PATIENCE[spec.patience]
    settings = SesSettings(
        access_key_id=secret["access_key_id"],
        secret_access_key=SecretStr(secret["secret_access_key"]),
        region=spec.provider.region,
        endpoint_url=endpoint,
        max_connections=spec.connections,
        connect_timeout=connect,
        read_timeout=read,
    )
    return open_ses_relay(settings, policy=around.policy)
