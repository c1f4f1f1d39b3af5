"""What a connection to a provider depends on: a change of it is a fresh start, anything else is not."""

from libs.common.events.provider import ProviderState


def wiring(provider: ProviderState) -> tuple[object, ...]:
    """Equal for two states that the same connection serves."""
    return provider.provider_type, provider.smtp, provider.helo_name, provider.region, provider.credential_version
