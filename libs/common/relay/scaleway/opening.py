"""A Scaleway relay for a stored provider."""

from pydantic import SecretStr

from libs.common.relay.opening import HTTP_PATIENCE, RelaySpec
from libs.common.relay.port import Relay, Trouble
from libs.common.relay.scaleway.relay import open_scaleway_relay
from libs.common.relay.scaleway.settings import ScalewaySettings


def open_provider(spec: RelaySpec) -> Relay | Trouble:
    """`libs.common.relay.opening.Opener`."""
    connect, read = HTTP_PATIENCE[spec.patience]
    try:
        settings = ScalewaySettings(
            api_key=SecretStr(spec.secret.get("api_key", "")),
            project_id=spec.secret.get("project_id", ""),
            region=spec.provider.region,
            api_url=spec.surroundings.scaleway_api_url,
            max_connections=spec.connections,
            connect_timeout=connect,
            read_timeout=read,
        )
    except ValueError as error:
        return Trouble("configuration", f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return open_scaleway_relay(settings)
