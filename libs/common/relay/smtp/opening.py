"""An SMTP relay for a stored provider."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import SecretStr

from libs.common.relay.opening import Patience, RelaySpec
from libs.common.relay.port import Relay, Trouble
from libs.common.relay.smtp.relay import open_smtp_relay
from libs.common.relay.smtp.settings import ENCRYPTIONS, SmtpSettings, Timeouts

PATIENCE: Mapping[Patience, Timeouts] = {
    "patient": Timeouts(),
    "brisk": Timeouts(connect=5, banner=10, command=20, data=20, block=60),
    "hurried": Timeouts(connect=5, banner=5, command=5, data=5, block=5, final_dot=8, quit=1, check=8),
}


def open_provider(spec: RelaySpec) -> Relay | Trouble:
    """`libs.common.relay.opening.Opener`. Raises ValueError for a provider without an endpoint."""
    endpoint, secret = spec.provider.smtp, spec.secret
    if endpoint is None:
        raise ValueError(f"provider {spec.provider.id} is of type smtp and has no endpoint")
    encryption = ENCRYPTIONS.get(endpoint.encryption)
    if encryption is None:
        return Trouble("connection", f"this version does not know the encryption {endpoint.encryption}")
    settings = SmtpSettings(
        host=endpoint.host,
        port=endpoint.port,
        username=secret.get("username") or None,
        password=SecretStr(secret["password"]) if secret.get("password") is not None else None,
        encryption=encryption,
        accept_invalid_certs=endpoint.accept_invalid_certs,
        max_connections=spec.connections,
        timeouts=PATIENCE[spec.patience],
        helo_name=spec.provider.helo_name,
    )
    around = spec.surroundings
    return open_smtp_relay(settings, policy=replace(around.policy, ports=around.smtp_ports))
