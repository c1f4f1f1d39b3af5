"""The provider's word and what DNS shows, folded into one status."""

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from libs.common.facts.domain import DnsRecord, DomainState, DomainStatus
from libs.common.relay.port import Identity
from services.providers.sending_domains.dns_record_rules import Question, Seen, question
from services.providers.sending_domains.verification_rules import Checked, fold, questions, registered

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SPF = "v=spf1 include:amazonses.com ~all"
AWAY = Seen(trouble="no answer within 4 seconds")
Word = Literal["unknown", "verified", "pending", "failed"]


def record(kind: Literal["TXT", "CNAME", "MX"], name: str, value: str, said: Word, *, required: bool) -> DnsRecord:
    return DnsRecord(record_type=kind, name=name, value=value, priority=None, status=said, required=required)


def records(said: Word = "unknown", **words: Word) -> tuple[DnsRecord, ...]:
    """What SES asks for; `spf`, `one`, `two`, `mx` are said of apart."""
    return (
        record("TXT", "send.a.example", SPF, words.get("spf", said), required=True),
        record("MX", "send.a.example", "feedback.amazonses.com", words.get("mx", said), required=False),
        record("CNAME", "one._domainkey.a.example", "one.dkim.amazonses.com", words.get("one", said), required=True),
        record("CNAME", "two._domainkey.a.example", "two.dkim.amazonses.com", words.get("two", said), required=True),
        record("TXT", "_dmarc.a.example", "v=DMARC1; p=none;", "unknown", required=False),
    )


def published(**instead: Seen) -> dict[Question, Seen]:
    """DNS with all of it, but for what is said otherwise; `dmarc` too."""
    names = ("spf", "mx", "one", "two", "dmarc")
    return {question(each): instead.get(name, Seen((each.value,))) for name, each in zip(names, records(), strict=True)}


def domain(status: DomainStatus = "pending", known: tuple[DnsRecord, ...] = ()) -> DomainState:
    return DomainState(
        id=1,
        provider_id=1,
        domain="a.example",
        status=status,
        dns_records=list(known),
        last_verified_at=None,
        verification_error=None,
        created_at=T0,
        updated_at=T0,
    )


def check(status: DomainStatus = "verified", before: DomainStatus = "pending", dns: Any = None, **said: Any) -> Checked:
    identity = Identity(status, said.pop("records", None) or records(), said.pop("error", None))
    return fold(identity, published() if dns is None else dns, before=domain(before, said.pop("known", ())))


def statuses(checked: Checked) -> list[str]:
    return [each.status for each in checked.records]


def test_all_published_and_confirmed_is_verified() -> None:
    checked = check()
    assert (checked.status, checked.confirmed, checked.error) == ("verified", True, None)
    assert statuses(checked) == ["verified"] * 5


def test_a_relay_that_knows_no_records_is_taken_at_its_word() -> None:
    checked = fold(Identity("verified"), {}, before=domain())
    assert checked == registered(Identity("verified")) == Checked("verified", (), None, confirmed=True)
    assert questions(()) == ()


def test_mx_and_dmarc_never_gate() -> None:
    checked = check(dns=published(mx=Seen(), dmarc=Seen()))
    assert (checked.status, checked.error) == ("verified", None)
    assert statuses(checked) == ["verified", "pending", "verified", "verified", "pending"]
    assert check(records=records("verified", mx="failed"), error="MAIL FROM was not set").status == "verified"


@pytest.mark.parametrize("missing", ["spf", "one", "two"])
def test_spf_and_every_dkim_record_gate_and_what_is_missing_is_named(missing: str) -> None:
    checked = check(dns=published(**{missing: Seen()}))
    assert (checked.status, checked.confirmed) == ("pending", False)
    label = {"spf": "TXT send", "one": "CNAME one._domainkey", "two": "CNAME two._domainkey"}[missing]
    assert checked.error == f"Not published: {label}.a.example"


def test_wrong_content_fails_and_is_shown() -> None:
    checked = check(dns=published(spf=Seen(("v=spf1 -all",)), one=Seen()))
    assert checked.status == "failed"
    assert checked.error == (
        "Not published: CNAME one._domainkey.a.example."
        ' TXT send.a.example: include:amazonses.com is not in "v=spf1 -all"'
    )
    assert statuses(checked)[0] == "failed"


def test_the_providers_own_failed_wins() -> None:
    whole = check("failed", error="HOST_NOT_FOUND")
    assert (whole.status, whole.error) == ("failed", "HOST_NOT_FOUND")
    one = check(records=records(spf="failed"))
    assert one.status == "failed"
    assert one.error == "TXT send.a.example: it is published, and the provider does not accept it"
    assert check("failed", "verified", dns=published(spf=AWAY)).status == "failed"


def test_what_the_provider_vouches_for_needs_no_resolver_of_ours() -> None:
    for dns in (dict.fromkeys(published(), Seen()), dict.fromkeys(published(), AWAY), published(one=Seen(("x.y",)))):
        checked = check(dns=dns, records=records("verified"))
        assert (checked.status, checked.confirmed) == ("verified", True)
        assert statuses(checked)[0] == "verified"


def test_all_published_and_not_yet_confirmed_is_pending_with_a_reason() -> None:
    checked = check("pending", records=records("pending"))
    assert (checked.status, checked.error) == ("pending", "The provider has not confirmed the domain yet")
    assert statuses(checked) == ["verified"] * 5
    assert check("not_started").status == "not_started"


def test_dns_away_is_temporary_and_explained() -> None:
    checked = check(dns=dict.fromkeys(published(), AWAY))
    assert (checked.status, checked.confirmed) == ("temporary_failure", False)
    assert checked.error is not None
    assert checked.error.startswith("DNS could not be asked for TXT send.a.example, CNAME one._domainkey.a.example")
    assert checked.error.endswith("no answer within 4 seconds")
    assert statuses(checked) == ["unknown"] * 5
    assert check("pending", dns=published(spf=AWAY)).status == "temporary_failure"


def test_a_verified_domain_outlives_a_name_servers_bad_minute() -> None:
    known = check().records
    checked = check("verified", "verified", dns=dict.fromkeys(published(), AWAY), known=known)
    assert (checked.status, checked.confirmed) == ("verified", False)
    assert checked.error is not None
    assert checked.error.endswith("The domain stays verified until it is known to be otherwise")
    assert statuses(checked) == ["verified"] * 5, "what was known of each record stays"
    assert check("temporary_failure", "verified").status == "verified"
    assert check("temporary_failure", "pending").status == "temporary_failure"


def test_a_verified_domain_does_not_outlive_what_is_known() -> None:
    assert check("verified", "verified", dns=published(spf=Seen())).status == "pending"
    assert check("verified", "verified", dns=published(spf=Seen(), one=AWAY)).status == "pending"
    assert check("verified", "verified", dns=published(one=Seen(("x.y",)), two=AWAY)).status == "failed"
    assert check("failed", "verified").status == "failed"
    assert check("not_started", "verified").status == "not_started"
    assert check("pending", "verified", dns=published(spf=Seen())).status == "pending"


def test_a_verified_domain_stays_so_while_the_provider_looks_again() -> None:
    again = check("pending", "verified")
    assert (again.status, again.confirmed) == ("verified", False)
    assert again.error is not None
    assert "has not confirmed" in again.error
    assert check("pending", "verified", dns=published(spf=AWAY)).status == "verified"


def test_at_first_only_the_providers_word_is_known() -> None:
    fresh = registered(Identity("pending", records("pending")))
    assert (fresh.status, fresh.error, fresh.records) == ("pending", None, records("pending"))
    assert registered(Identity("verified", records("verified"))).confirmed
    half = registered(Identity("verified", records("verified", spf="unknown")))
    assert (half.status, half.confirmed) == ("pending", False)
    refused = registered(Identity("verified", records("verified", spf="failed"), "MAIL FROM was refused"))
    assert (refused.status, refused.error) == ("failed", "MAIL FROM was refused")


def test_each_question_is_asked_once_and_not_without_end() -> None:
    assert len(questions(records())) == 5
    assert len(questions((*records(), *records()))) == 5
    many = [record("CNAME", f"k{n}._domainkey.a.example", "x.y", "unknown", required=True) for n in range(100)]
    assert len(questions(many)) == 20


def test_a_long_story_is_cut() -> None:
    checked = check("failed", error="x" * 10_000)
    assert checked.error is not None
    assert len(checked.error) == 2_000
