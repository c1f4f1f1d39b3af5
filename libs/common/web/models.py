"""Shapes that every service's HTTP edge shares."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

Item = TypeVar("Item")

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written(value: object) -> object:
    """Pydantic would also take dates, bare numbers and times without an offset, and guess what they mean."""
    if not (isinstance(value, str) and _RFC3339.fullmatch(value)):
        raise ValueError(
            "must be a time in RFC 3339 with an offset, for instance 2030-01-31T12:00:00Z (in a URL, write + as %2B)"
        )
    return value


def in_utc(value: datetime) -> datetime:
    """The same moment in UTC: every time that we write ends in `Z`, whatever offset it came with."""
    return value.astimezone(UTC)


Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written), AfterValidator(in_utc)]
"""A moment as callers write it (RFC 3339 section 5.6, with an offset), in UTC."""


class RequestModel(BaseModel):
    """A request body: unknown members are refused, types are not bent (`"yes"` is no boolean).

    Members whose JSON form is a string (datetime, UUID) need `Field(strict=False)`. What callers sent may be a password
    or somebody's mail, so its `repr` names the members that were given and shows none of their values.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        for name in sorted(self.model_fields_set):
            yield name, ...


class ResponseModel(BaseModel):
    """An answer; optional members are present as null."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class FieldError(ResponseModel):
    """One field that is wrong, as a dotted path (`to.1`), a header's or a parameter's name."""

    field: str
    message: str


class Problem(ResponseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["https://temps.sh/probs/not_found"])
    title: str
    status: int
    detail: str
    instance: str
    timestamp: datetime
    error_code: str
    request_id: str
    errors: list[FieldError] | None = None
    suggestion: str | None = None
    required_permission: str | None = None


class Page(ResponseModel, Generic[Item]):
    """One page of a list: `page` counts from 1."""

    data: list[Item]
    total: int
    page: int
    page_size: int
