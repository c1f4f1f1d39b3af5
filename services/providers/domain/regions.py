"""Regions of the providers that have any: a region becomes part of a host's name, so nothing else may stand there."""

import re
from collections.abc import Mapping

from libs.common.errors import InvalidError
from libs.common.events.provider import ProviderType

_REGIONS: Mapping[ProviderType, tuple[re.Pattern[str], str]] = {
    "ses": (re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]"), "eu-west-1"),
    "scaleway": (re.compile(r"[a-z]{2}-[a-z]{3}"), "fr-par"),
}


def check_region(provider_type: ProviderType, region: str) -> None:
    """Raises `InvalidError`. An SMTP provider's region is a word of its owner's: any will do."""
    pattern, example = _REGIONS.get(provider_type, (None, ""))
    if pattern is not None and not pattern.fullmatch(region):
        raise InvalidError([("region", f"is not a region of a provider of type {provider_type}, like {example}")])
