"""Commands ask for a kind of provider that this version knows."""

from libs.common.errors import ConflictError
from libs.common.relay.kinds import Kind, kind_of


def require_kind(provider_type: str) -> Kind:
    """The row of `libs.common.relay.kinds`. Raises `ConflictError` for a kind that only a newer version knows."""
    kind = kind_of(provider_type)
    if kind is None:
        raise ConflictError(
            f"this version does not know providers of type {provider_type}",
            suggestion="Ask again when the upgrade is complete.",
        )
    return kind
