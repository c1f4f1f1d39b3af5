"""Connection identity: the settings whose change makes everything learned about a provider void."""

from libs.common.facts.provider import ProviderState
from libs.common.relay.kinds import kind_of


def connection_of(provider: ProviderState) -> tuple[object, ...]:
    """Equal for two states that reach the same place, under the same name, with the same credentials.

    A region counts where the kind has any; otherwise it is only a word of the provider's owner.
    """
    kind = kind_of(provider.provider_type)
    region = None if kind is not None and kind.region is None else provider.region
    return provider.provider_type, provider.smtp, provider.helo_name, region, provider.credential_version


def same_connection(one: ProviderState, other: ProviderState) -> bool:
    """True if both have the same connection identity."""
    return connection_of(one) == connection_of(other)
