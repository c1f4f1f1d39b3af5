"""Parameters that routes of several services take, written in one way only.

Pydantic reads `1_0` as 10, `+1` as 1 and `urn:uuid:…` as an id. Nobody shall delete another thing by a slip of the
keyboard, and an id that is looked for in a log is found only in its one spelling.
"""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from pydantic import BeforeValidator

LARGEST_ID = 2**53 - 1
"""The largest whole number that every JSON parser reads exactly (RFC 8259 section 6)."""

_DIGITS = re.compile(r"-?[0-9]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _in_digits(value: object) -> object:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("must be a whole number, in digits")
    return value


def _hyphenated(value: object) -> object:
    if isinstance(value, str) and not _UUID.fullmatch(value):
        raise ValueError("must be a UUID like 0199d0a4-7c1e-7c3a-9d5e-1f2a3b4c5d6e")
    return value


Digits = Annotated[int, BeforeValidator(_in_digits)]
"""A whole number in a path or a query."""

PathId = Annotated[Digits, Path(ge=1, le=LARGEST_ID, description="The id, from the answer that created it")]
QueryId = Annotated[Digits, Query(ge=1, le=LARGEST_ID)]
EmailId = Annotated[UUID, BeforeValidator(_hyphenated), Path(description="The email's id, from the answer to the POST")]
PageNumber = Annotated[Digits, Query(ge=1, le=2**31 - 1, description="Which page, counted from 1")]
PageSize = Annotated[Digits, Query(ge=1, le=100, description="How many entries a page has")]
