"""For whom a reply speaks when its code alone does not say it: account, settings, connection, or the recipient."""

import pytest

from libs.common.relay.classify import Stage, provider_trouble
from libs.common.relay.ses.errors import Refused, Words, meaning
from libs.common.relay.wordings import WORDINGS, Wording, speaks_of

KINDS = {"account": "quota", "settings": "configuration", "connection": "connection"}
TRANSACTION: tuple[Stage, ...] = ("mail", "rcpt", "data", "dot")


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: wording.example[:40])
def test_each_wording_is_found_in_its_own_example(wording: Wording) -> None:
    assert speaks_of(wording.example) == wording.about


@pytest.mark.parametrize("stage", TRANSACTION)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("550 5.4.5 Daily user sending limit exceeded. For more information see the help pages", "quota"),
        ("550 5.4.5 Daily SMTP relay limit exceeded for customer", "quota"),
        ("550 5.1.90 You have reached your daily limit for message recipients", "quota"),
        ("550 5.7.233 Your tenant exceeded its external recipient rate", "quota"),
        ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", "quota"),
        ("550 Domain shop.example has exceeded the max emails per hour (5/5 (100%)) allowed.", "quota"),
        ("554 Transaction failed - mail send limit exceeded", "quota"),
        ("450 4.7.1 Hourly sending limit reached", "quota"),
        ("554 Message rejected, try again later", "connection"),
        ("550 Not accepted now, the message will be reattempted later", "connection"),
        ("554 5.7.1 <bob@b.example>: Relay access denied", "configuration"),
        ("454 4.7.1 <bob@b.example>: Relay access denied", "configuration"),
        ("550 5.7.1 relaying denied", "configuration"),
        ("550 relay not permitted", "configuration"),
        ("550 5.7.1 Authentication required", "configuration"),
        ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", "configuration"),
        ("550 5.1.8 Access denied, bad outbound sender AS(42003)", "configuration"),
    ],
)
def test_a_reply_about_us_is_provider_trouble(stage: Stage, reply: str, kind: str) -> None:
    code, _, text = reply.partition(" ")
    trouble = provider_trouble(stage, int(code), text)
    assert trouble is not None
    assert (trouble.kind, trouble.smtp_code, trouble.text) == (kind, int(code), text)


@pytest.mark.parametrize(
    "reply",
    [
        "552 5.2.2 The email account that you tried to reach is over quota",
        "452 4.2.2 The recipient's inbox is out of storage space, try again later",
        "550 5.2.2 mailbox full, sending quota exceeded",
        "550 5.1.1 no such user, please try again later",
        "552 Requested mail action aborted: exceeded storage allocation",
        "552 5.5.3 too many recipients, message limit reached",
        "452 4.5.3 Too many recipients, message recipient limit exceeded",
        "550 5.7.1 message content rejected as spam",
        "553 5.7.1 <shop@a.example>: Sender address rejected: not owned by user alice",
        "552 5.3.4 Message size exceeds fixed maximum message size limit",
        "552 Message size exceeds maximum message size limit",
        "552 message size limit exceeded",
        "451 4.7.1 greylisted, try again later",
    ],
)
def test_a_reply_about_the_mail_is_no_trouble(reply: str) -> None:
    code, _, text = reply.partition(" ")
    assert provider_trouble("rcpt", int(code), text) is None


def test_a_login_refused_for_its_quota_is_no_wrong_password() -> None:
    trouble = provider_trouble("auth", 451, "Authentication failed: Maximum credits exceeded")
    assert trouble is not None
    assert trouble.kind == "quota"


def test_ses_names_a_used_up_quota_under_any_code() -> None:
    refused = Refused("MessageRejected", 400, "Daily sending quota exceeded for this account")
    assert meaning(refused, Words()).kind == "quota"
