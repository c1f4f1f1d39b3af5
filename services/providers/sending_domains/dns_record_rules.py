"""One DNS record: what a domain's owner was asked to publish against what DNS shows.

A record's purpose is told by what it says, not by who asks for it: the same rules hold for every provider.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from libs.common.facts.domain import DnsRecord

RecordType = Literal["TXT", "CNAME", "MX"]

_SHOWN = 200
_VERSION = "v=spf1"


@dataclass(frozen=True, slots=True)
class Question:
    """`name` in lower case without the root dot."""

    name: str
    record_type: RecordType


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer of DNS: TXT with its strings joined, CNAME a name, MX `10 host.example`; empty: there is none.

    `trouble` says why nothing is known; then there are no values.
    """

    values: tuple[str, ...] = ()
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """`pending`: not there; `failed`: something else is there, `reason` says what; `unknown`: DNS did not say."""

    status: Literal["verified", "pending", "failed", "unknown"]
    reason: str | None = None


def question(record: DnsRecord) -> Question:
    """Where to look for a record."""
    return Question(_plain(record.name), record.record_type)


def gates(record: DnsRecord) -> bool:
    """True if the domain is not verified without it: never for MX and DMARC."""
    return record.required and record.record_type != "MX" and not _is_dmarc(record)


def judge(record: DnsRecord, seen: Seen) -> Finding:
    """True if the published records serve the purpose of this one."""
    if seen.trouble is not None:
        return Finding("unknown", seen.trouble)
    return _JUDGES[_purpose(record)](record.value, seen.values)


def _purpose(record: DnsRecord) -> str:
    if record.record_type != "TXT":
        return record.record_type
    if _is_dmarc(record):
        return "DMARC"
    if _is_spf(record.value):
        return "SPF"
    return "DKIM" if "p" in _tags(record.value) else "TXT"


def _is_dmarc(record: DnsRecord) -> bool:
    return record.record_type == "TXT" and _plain(record.name).startswith("_dmarc.")


# --------------------------------------------------------------------------------------------------- SPF (RFC 7208)


def _is_spf(text: str) -> bool:
    """RFC 7208 section 4.5: `v=spf10` is another version."""
    return text.lower().split(" ", 1)[0] == _VERSION


def _terms(text: str) -> tuple[str, ...]:
    """The mechanisms that are evaluated: none after `all` (section 5.1); a leading `+` is the default and dropped."""
    terms: list[str] = []
    for term in text.lower().split()[1:]:
        terms.append(term.removeprefix("+"))
        if term.lstrip("+-~?") == "all":
            break
    return tuple(terms)


def _spf(wanted: str, values: tuple[str, ...]) -> Finding:
    """Every mechanism that is wanted is in the record, whatever else is.

    What an `include:` leads to is not followed, so a record that reaches the provider by a detour is seen as one
    without it (the provider's own check decides then).
    """
    records = [value for value in values if _is_spf(value)]
    if not records:
        return Finding("pending")
    if len(records) > 1:
        return Finding("failed", f"{len(records)} SPF records are there: join them into one (RFC 7208 section 3.2)")
    there = _terms(records[0])
    missing = [term for term in _terms(wanted) if term.lstrip("+-~?") != "all" and term not in there]
    if missing:
        return Finding("failed", f"{' '.join(missing)} is not in {_quoted(records[0])}")
    return Finding("verified")


# ---------------------------------------------------------------------------------------------- DKIM, DMARC and others


def _tags(text: str) -> Mapping[str, str]:
    """A tag list (RFC 6376 section 3.2); a value's white space means nothing in keys (section 3.6.1)."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): re.sub(r"\s+", "", value) for name, equals, value in pairs if equals}


def _dkim(wanted: str, values: tuple[str, ...]) -> Finding:
    """The public key counts; other tags may differ. Text that is no key (a wildcard's answer) is no answer."""
    keys = [value for value in values if "p" in _tags(value) or _tags(value).get("v", "").upper() == "DKIM1"]
    if not keys:
        return Finding("pending")
    if any(_tags(key).get("p") == _tags(wanted)["p"] for key in keys):
        return Finding("verified")
    return Finding("failed", f"another key is there: {_quoted(keys[0])}")


def _dmarc(wanted: str, values: tuple[str, ...]) -> Finding:
    """Any policy will do: which one is the owner's decision (RFC 7489 section 6.3)."""
    del wanted
    there = any(_tags(value).get("v", "").upper() == "DMARC1" for value in values)
    return Finding("verified" if there else "pending")


def _text(wanted: str, values: tuple[str, ...]) -> Finding:
    return Finding("verified" if wanted in values else "pending")


def _name(wanted: str, values: tuple[str, ...]) -> Finding:
    """A host's name; of an MX record the host counts, which preference it has is the owner's decision."""
    if not values:
        return Finding("pending")
    if any(_host(value) == _host(wanted) for value in values):
        return Finding("verified")
    return Finding("failed", f"it leads to {_quoted(', '.join(values))}")


_JUDGES: Mapping[str, Callable[[str, tuple[str, ...]], Finding]] = {
    "SPF": _spf,
    "DKIM": _dkim,
    "DMARC": _dmarc,
    "TXT": _text,
    "CNAME": _name,
    "MX": _name,
}


def _plain(name: str) -> str:
    return name.strip().rstrip(".").lower()


def _host(value: str) -> str:
    return _plain(value.rsplit(maxsplit=1)[-1]) if value.split() else ""


def _quoted(text: str) -> str:
    """Published text, made safe to show."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return f'"{shown[:_SHOWN]}…"' if len(shown) > _SHOWN else f'"{shown}"'
