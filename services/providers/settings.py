"""What the providers service reads from its environment."""

from libs.common.settings import RelaySettings


class ProvidersSettings(RelaySettings):
    """`dns_resolver` is `ip:port` of the name server that domains are checked with; None asks the system's."""

    dns_resolver: str | None = None
