"""Combines the provider's report and the DNS records of a domain into one status.

Verified means SPF and every DKIM record; MX and DMARC never gate; the provider's own "failed" wins. Besides:

- Where the provider says of a record that it is verified, that counts, even if our resolver does not see it (yet): the
  provider signs and sends by its own check, and caches, views and detours (SPF flattening) make ours the weaker one.
- A domain that was verified stays so while DNS, or the provider's own check, is briefly unable to say, or while the
  provider is looking again (Scaleway calls a domain pending then): mail that went out this morning is not held back by
  a name server's bad minute. `verification_error` says that it happened, and `last_verified_at` stays what it was.
  What is known to be missing or wrong does count, for such a domain too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from libs.common.facts.domain import DnsRecord, DomainState, DomainStatus
from libs.common.relay.port import Identity
from services.providers.sending_domains.dns_record_rules import Finding, Question, Seen, gates, judge, question

_ERROR_LIMIT = 2_000
_MAX_QUESTIONS = 20
_PROVIDER_SAYS: Mapping[DomainStatus, str] = {
    "failed": "The provider's own check has failed",
    "temporary_failure": "The provider cannot say at the moment",
    "pending": "The provider has not confirmed the domain yet",
    "not_started": "The provider has not begun to check the domain",
}
"""Where it gives no reason of its own."""
_REFUSED = {
    "verified": "it is published, and the provider does not accept it",
    "pending": "it is not published",
    "unknown": "the provider does not accept it",
}
"""Why a record that the provider calls failed has, by what DNS shows; where DNS shows something else, that is why."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check. `confirmed`: this check itself verified the domain."""

    status: DomainStatus
    records: tuple[DnsRecord, ...]
    error: str | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class _Judged:
    """A record with its new status. `standing` is what it means for the domain, `reason` why it is not verified."""

    record: DnsRecord
    standing: Literal["verified", "pending", "failed", "unknown"]
    reason: str | None


def questions(records: Iterable[DnsRecord]) -> tuple[Question, ...]:
    """The DNS questions for a domain, without repeats, bounded in number."""
    return tuple(dict.fromkeys(question(record) for record in records))[:_MAX_QUESTIONS]


def disowned(before: DomainState, words: str) -> Identity:
    """The result when the provider refuses the domain or no longer knows it: failed, with the provider's reason.

    DNS alone is asked about the records that were known.
    """
    records = tuple(record.model_copy(update={"status": "unknown"}) for record in before.dns_records)
    return Identity("failed", records, f"The provider refuses the domain: {words}")


def registered(identity: Identity) -> Checked:
    """A domain that was just registered: nobody has looked at DNS, the provider's word alone is known."""
    judged = [_judged(record, Finding("pending"), record.status) for record in identity.records]
    status = identity.status
    if status == "verified":
        status = _worst(judged) or "verified"
    return Checked(status, identity.records, _short(identity.error), confirmed=status == "verified")


def fold(identity: Identity, seen: Mapping[Question, Seen], *, before: DomainState) -> Checked:
    """The provider's `identity`, and what DNS shows, for a domain that was `before`."""
    known = {(each.record_type, each.name, each.value): each.status for each in before.dns_records}
    judged = []
    for record in identity.records:
        found = judge(record, seen.get(question(record), Seen(trouble="it was not looked up")))
        was = known.get((record.record_type, record.name, record.value), record.status)
        judged.append(_judged(record, found, was))
    status, confirmed = _status(identity.status, _worst(judged), before.status)
    error = _error(identity, judged, status, confirmed=confirmed)
    return Checked(status, tuple(each.record for each in judged), error, confirmed)


def _judged(record: DnsRecord, found: Finding, was: str) -> _Judged:
    if record.status == "failed":
        return _Judged(record, "failed", _REFUSED.get(found.status) or found.reason)
    if record.status == "verified":
        return _Judged(record, "verified", None)
    shown = was if found.status == "unknown" else found.status
    return _Judged(record.model_copy(update={"status": shown}), found.status, found.reason)


def _worst(judged: Iterable[_Judged]) -> Literal["failed", "pending", "temporary_failure"] | None:
    """The status of the required records; None if all are verified."""
    standings = {each.standing for each in judged if gates(each.record)}
    if "failed" in standings:
        return "failed"
    if "pending" in standings:
        return "pending"
    return "temporary_failure" if "unknown" in standings else None


def _status(
    provider: DomainStatus, records: Literal["failed", "pending", "temporary_failure"] | None, before: DomainStatus
) -> tuple[DomainStatus, bool]:
    """The domain's status, and whether it was confirmed just now."""
    if "failed" in (provider, records):
        return "failed", False
    if records == "pending":
        return "pending", False
    if provider == "not_started":
        return provider, False
    unsure = "temporary_failure" in (provider, records)
    if before == "verified":
        return "verified", provider == "verified" and not unsure
    return ("temporary_failure", False) if unsure else (provider, provider == "verified")


def _error(identity: Identity, judged: list[_Judged], status: DomainStatus, *, confirmed: bool) -> str | None:
    wanting = [each for each in judged if gates(each.record) and each.standing != "verified"]
    missing = [_label(each.record) for each in wanting if each.standing == "pending"]
    sentences = [f"Not published: {', '.join(missing)}"] if missing else []
    sentences += [f"{_label(each.record)}: {each.reason}" for each in wanting if each.standing == "failed"]
    unknown = [each for each in wanting if each.standing == "unknown"]
    if unknown:
        labels = ", ".join(_label(each.record) for each in unknown)
        sentences.append(f"DNS could not be asked for {labels}: {unknown[0].reason}")
    if status == "verified" and not confirmed:
        sentences.append("The domain stays verified until it is known to be otherwise")
    said = identity.error or _PROVIDER_SAYS.get(identity.status)
    sentences += [said] if said else []
    return _short(". ".join(sentence.rstrip(".") for sentence in sentences))


def _label(record: DnsRecord) -> str:
    return f"{record.record_type} {record.name}"


def _short(text: str | None) -> str | None:
    return text[:_ERROR_LIMIT] if text else None
