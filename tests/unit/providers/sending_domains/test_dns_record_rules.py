"""One record that was asked for against what DNS shows."""

from typing import Literal

import pytest

from libs.common.facts.domain import DnsRecord
from services.providers.sending_domains.dns_record_rules import Finding, Question, Seen, gates, judge, question

SES_SPF = "v=spf1 include:amazonses.com ~all"
SCALEWAY_SPF = "v=spf1 include:_spf.tem.scaleway.com -all"
KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA+/z=="
DKIM = f"v=DKIM1; h=sha256; k=rsa; p={KEY}"
TOKEN = "abc.dkim.amazonses.com"
FEEDBACK = "feedback-smtp.eu-west-1.amazonses.com"


def record(
    value: str,
    name: str = "send.a.example",
    kind: Literal["TXT", "CNAME", "MX"] = "TXT",
    *,
    required: bool = True,
) -> DnsRecord:
    return DnsRecord(record_type=kind, name=name, value=value, priority=None, status="unknown", required=required)


def status(wanted: DnsRecord, *values: str) -> str:
    return judge(wanted, Seen(values)).status


@pytest.mark.parametrize(
    ("wanted", "published", "expected"),
    [
        (SES_SPF, [SES_SPF], "verified"),
        (SES_SPF, ["v=spf1 include:_spf.other.example include:amazonses.com -all"], "verified"),
        (SES_SPF, ["V=SPF1 ip4:192.0.2.0/24 +Include:AmazonSES.com ?all"], "verified"),
        (SES_SPF, ["v=spf1 include:amazonses.com"], "verified"),
        (SCALEWAY_SPF, ["google-site-verification=x", SCALEWAY_SPF], "verified"),
        (SES_SPF, [], "pending"),
        (SES_SPF, ["google-site-verification=x", "v=spf10 include:amazonses.com"], "pending"),
        (SES_SPF, [SCALEWAY_SPF], "failed"),
        (SES_SPF, ["v=spf1 -all include:amazonses.com"], "failed"),  # nothing behind `all` is evaluated
        (SES_SPF, ["v=spf1 -include:amazonses.com -all"], "failed"),
        (SES_SPF, ["v=spf1 include:amazonses.com.evil.example -all"], "failed"),
        (SES_SPF, [SES_SPF, "v=spf1 -all"], "failed"),
        (SES_SPF, [SES_SPF, SES_SPF], "failed"),
    ],
)
def test_spf_has_the_mechanism_that_is_wanted_and_is_the_only_one(
    wanted: str, published: list[str], expected: str
) -> None:
    assert status(record(wanted), *published) == expected


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ([DKIM], "verified"),
        ([f"v=DKIM1; k=rsa; p={KEY[:20]} {KEY[20:]}"], "verified"),
        ([f"p={KEY}"], "verified"),
        ([f"k=rsa;v=DKIM1 ; p = {KEY};"], "verified"),
        (["some wildcard text", DKIM], "verified"),
        ([], "pending"),
        (["some wildcard text"], "pending"),
        ([f"v=DKIM1; p={KEY.lower()}"], "failed"),
        (["v=DKIM1; p="], "failed"),
        (["v=DKIM1"], "failed"),
    ],
)
def test_of_a_dkim_record_the_key_counts(published: list[str], expected: str) -> None:
    assert status(record(DKIM, "project._domainkey.a.example"), *published) == expected


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ([TOKEN], "verified"),
        (["ABC.DKIM.AmazonSES.com."], "verified"),
        ([], "pending"),
        (["abc.dkim.amazonses.com.a.example"], "failed"),
    ],
)
def test_a_cname_leads_where_it_should_whatever_its_case_and_dot(published: list[str], expected: str) -> None:
    assert status(record(TOKEN, "abc._domainkey.a.example", "CNAME"), *published) == expected


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ([f"10 {FEEDBACK}"], "verified"),
        ([f"20 {FEEDBACK.upper()}.", "10 mx.other.example"], "verified"),
        ([], "pending"),
        (["10 mx.other.example"], "failed"),
        (["0 ."], "failed"),
    ],
)
def test_of_an_mx_record_the_host_counts(published: list[str], expected: str) -> None:
    assert status(record(FEEDBACK, kind="MX"), *published) == expected


@pytest.mark.parametrize(
    ("published", "expected"),
    [(["v=DMARC1; p=reject; rua=mailto:a@a.example"], "verified"), (["x"], "pending"), ([], "pending")],
)
def test_any_dmarc_policy_will_do(published: list[str], expected: str) -> None:
    assert status(record("v=DMARC1; p=none;", "_dmarc.a.example"), *published) == expected


def test_other_text_is_there_or_is_not() -> None:
    wanted = record("ownership=1234", "a.example")
    assert status(wanted, "v=spf1 -all", "ownership=1234") == "verified"
    assert status(wanted, "ownership=123") == "pending"


def test_what_is_wrong_is_said_and_strangers_words_are_cut_and_cleaned() -> None:
    lost = judge(record(SES_SPF), Seen(("v=spf1 -all",)))
    assert lost.reason == 'include:amazonses.com is not in "v=spf1 -all"'
    twice = judge(record(SES_SPF), Seen((SES_SPF, SES_SPF)))
    assert twice.reason is not None
    assert twice.reason.startswith("2 SPF records are there")
    strange = judge(record(TOKEN, kind="CNAME"), Seen(("a\x1b[31m\u202e" + "x" * 5_000,)))
    assert strange.reason is not None
    assert strange.reason.isprintable()
    assert len(strange.reason) < 300


def test_nobody_who_could_say_is_neither_there_nor_missing() -> None:
    assert judge(record(SES_SPF), Seen(trouble="no answer")) == Finding("unknown", "no answer")


def test_a_name_is_asked_for_in_one_form() -> None:
    assert question(record(SES_SPF, " Send.A.example. ")) == Question("send.a.example", "TXT")


def test_mx_and_dmarc_never_gate_and_the_others_do_when_they_are_required() -> None:
    assert gates(record(SES_SPF))
    assert gates(record(TOKEN, kind="CNAME"))
    assert not gates(record(SES_SPF, required=False))
    assert not gates(record(FEEDBACK, kind="MX"))
    assert not gates(record("v=DMARC1; p=none;", "_dmarc.a.example"))
