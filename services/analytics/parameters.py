"""Query parameters that several routes share, and what is refused in them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, get_args

from fastapi import Query
from pydantic import AfterValidator

from libs.common.errors import InvalidError
from libs.common.web import Time
from services.analytics.counts.counting import Slice

LONGEST_TEXT = 2_000


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


Text = Annotated[str, AfterValidator(_without_nul), Query(min_length=1, max_length=LONGEST_TEXT)]
Since = Annotated[Time, Query(description="At this time or later; RFC 3339 with an offset")]
Until = Annotated[Time, Query(description="Before this time; RFC 3339 with an offset")]
Tag = Annotated[Text, Query(description="`x`, or `name:value`")]

EventTypeParameter = Literal[
    "open",
    "click",
    "delivery",
    "bounce",
    "complaint",
    "opened",
    "clicked",
    "delivered",
    "bounced",
    "complained",
]
_NAMES = get_args(EventTypeParameter)
CANONICAL: Mapping[str, str] = dict(zip(_NAMES[5:], _NAMES[:5], strict=True))
"""`opened` means `open`, and so on."""


def event_type_of(given: str | None) -> str | None:
    """The one name of an event type that has two."""
    return given if given is None else CANONICAL.get(given, given)


def slice_of(
    since: datetime | None = None,
    until: datetime | None = None,
    domain_id: int | None = None,
    provider_id: int | None = None,
    tag: str | None = None,
) -> Slice:
    """The part of the platform that the parameters mean. Raises InvalidError when `until` is before `since`."""
    if since is not None and until is not None and until < since:
        raise InvalidError([("until", "is before since")])
    return Slice(domain_id=domain_id, provider_id=provider_id, tag=tag, since=since, until=until)
