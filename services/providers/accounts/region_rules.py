"""Regions of the providers that have any: a region becomes part of a host's name, so nothing else may stand there."""

import re

from libs.common.errors import InvalidError
from services.providers.accounts.kind_rules import require_kind


def check_region(provider_type: str, region: str) -> None:
    """Raises `InvalidError`. Of a kind without regions it is a word of the provider's owner: any will do."""
    wanted = require_kind(provider_type).region
    if wanted is not None and not re.fullmatch(wanted.pattern, region):
        words = f"is not a region of a provider of type {provider_type}, like {wanted.example}"
        raise InvalidError([("region", words)])
