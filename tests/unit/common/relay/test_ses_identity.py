"""A sending domain in SES' words and in ours."""

from typing import Any

import pytest

from libs.common.facts.domain import DnsRecord
from libs.common.relay.ses.identity import identity

TOKENS = ["aaa", "bbb", "ccc"]


def answer(**changes: Any) -> dict[str, Any]:
    """GetEmailIdentity's, of a domain whose records are all found."""
    found = {
        "VerificationStatus": "SUCCESS",
        "VerifiedForSendingStatus": True,
        "DkimAttributes": {"Status": "SUCCESS", "Tokens": TOKENS, "SigningAttributesOrigin": "AWS_SES"},
        "MailFromAttributes": {"MailFromDomain": "send.shop.example", "MailFromDomainStatus": "SUCCESS"},
    }
    return found | changes


def dkim(**changes: Any) -> dict[str, Any]:
    return {**answer()["DkimAttributes"], **changes}


def by_purpose(records: tuple[DnsRecord, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"spf": [], "mx": [], "dkim": [], "dmarc": []}
    for record in records:
        purpose = {"MX": "mx", "CNAME": "dkim"}.get(record.record_type)
        found[purpose or ("dmarc" if record.name.startswith("_dmarc.") else "spf")].append(record.status)
    return found


def test_the_records_are_those_that_ses_asks_for() -> None:
    records = identity("shop.example", "eu-west-1", answer()).records
    assert [(r.record_type, r.name, r.value, r.priority, r.required) for r in records] == [
        ("TXT", "send.shop.example", "v=spf1 include:amazonses.com ~all", None, True),
        ("MX", "send.shop.example", "feedback-smtp.eu-west-1.amazonses.com", 10, False),
        ("CNAME", "aaa._domainkey.shop.example", "aaa.dkim.amazonses.com", None, True),
        ("CNAME", "bbb._domainkey.shop.example", "bbb.dkim.amazonses.com", None, True),
        ("CNAME", "ccc._domainkey.shop.example", "ccc.dkim.amazonses.com", None, True),
        ("TXT", "_dmarc.shop.example", "v=DMARC1; p=none;", None, False),
    ]


def test_some_regions_have_a_dkim_zone_of_their_own() -> None:
    values = [r.value for r in identity("shop.example", "eu-south-1", answer()).records if r.record_type == "CNAME"]
    assert values[0] == "aaa.dkim.eu-south-1.amazonses.com"


def test_the_zone_that_ses_names_counts() -> None:
    said = answer(DkimAttributes=dkim(SigningHostedZone="dkim.elsewhere.amazonses.com"))
    values = [r.value for r in identity("shop.example", "eu-west-1", said).records if r.record_type == "CNAME"]
    assert values == [f"{token}.dkim.elsewhere.amazonses.com" for token in TOKENS]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("PENDING", "pending"),
        ("SUCCESS", "verified"),
        ("FAILED", "failed"),
        ("TEMPORARY_FAILURE", "temporary_failure"),
        ("NOT_STARTED", "not_started"),
        ("SOMETHING_NEW", "verified"),
    ],
)
def test_the_domains_status_is_ses_own(said: str, status: str) -> None:
    assert identity("shop.example", "eu-west-1", answer(VerificationStatus=said)).status == status


@pytest.mark.parametrize(("may_send", "status"), [(True, "verified"), (False, "pending")])
def test_a_new_identity_has_no_status_but_whether_it_may_be_sent_from(may_send: bool, status: str) -> None:  # noqa: FBT001
    created = {"VerifiedForSendingStatus": may_send, "DkimAttributes": dkim(Status="NOT_STARTED")}
    assert identity("shop.example", "eu-west-1", created).status == status


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("PENDING", "pending"),
        ("SUCCESS", "verified"),
        ("FAILED", "failed"),
        ("TEMPORARY_FAILURE", "pending"),
        ("NOT_STARTED", "unknown"),
    ],
)
def test_dkim_and_mx_have_the_status_that_ses_gives_them(said: str, status: str) -> None:
    mail_from = {"MailFromDomain": "send.shop.example", "MailFromDomainStatus": said}
    found = by_purpose(
        identity("shop.example", "r", answer(DkimAttributes=dkim(Status=said), MailFromAttributes=mail_from)).records
    )
    assert found == {"spf": ["unknown"], "mx": [status], "dkim": [status] * 3, "dmarc": ["unknown"]}


def test_a_refused_mail_from_fails_spf_and_mx_and_says_why() -> None:
    pending = answer(VerificationStatus="PENDING", MailFromAttributes={"BehaviorOnMxFailure": "USE_DEFAULT_VALUE"})
    found = identity("shop.example", "r", pending, mail_from_error="refused: not a subdomain")
    assert by_purpose(found.records) == {
        "spf": ["failed"],
        "mx": ["failed"],
        "dkim": ["verified"] * 3,
        "dmarc": ["unknown"],
    }
    assert (found.status, found.error) == ("pending", "refused: not a subdomain")


def test_a_mail_from_domain_that_its_owner_chose_is_the_one_the_records_are_for() -> None:
    mail_from = {"MailFromDomain": "bounce.shop.example", "MailFromDomainStatus": "SUCCESS"}
    records = identity("shop.example", "r", answer(MailFromAttributes=mail_from)).records
    assert [r.name for r in records[:2]] == ["bounce.shop.example", "bounce.shop.example"]


def test_a_key_that_its_owner_brought_needs_no_cname() -> None:
    records = identity("shop.example", "r", answer(DkimAttributes=dkim(SigningAttributesOrigin="EXTERNAL"))).records
    assert by_purpose(records)["dkim"] == []


@pytest.mark.parametrize(
    ("status", "error_type", "words"),
    [
        ("FAILED", "HOST_NOT_FOUND", "does not know the DKIM records"),
        ("TEMPORARY_FAILURE", "DNS_SERVER_ERROR", "name server"),
        ("FAILED", "SOMETHING_NEW", "SOMETHING_NEW"),
        ("FAILED", None, "did not find"),
        ("TEMPORARY_FAILURE", None, "no longer finds"),
    ],
)
def test_what_is_wrong_is_said_in_words(status: str, error_type: str | None, words: str) -> None:
    information = {"ErrorType": error_type} if error_type else {}
    found = identity("shop.example", "r", answer(VerificationStatus=status, VerificationInfo=information))
    assert words in (found.error or "")


def test_nothing_is_wrong_with_what_is_pending_or_verified() -> None:
    assert identity("shop.example", "r", answer()).error is None
    assert identity("shop.example", "r", answer(VerificationStatus="PENDING")).error is None
