"""What a relay's words mean: the tables of docs/reliability.md, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.relay.classify import (
    Stage,
    disagree,
    enhanced_status,
    provider_trouble,
    recipient_reply,
    verdict,
)
from libs.common.relay.port import Verdict

STAGES: tuple[Stage, ...] = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot")


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (250, "2.1.5 ok", "accepted"),
        (251, "will forward", "accepted"),
        (450, "4.2.0 greylisted", "deferred"),
        (450, "mailbox busy", "deferred"),
        (451, "4.7.1 try later", "deferred"),
        (452, "4.5.3 too many recipients", "deferred"),
        (452, "4.2.2 mailbox full", "deferred"),
        (452, "4.3.1 no storage", "deferred"),
        (550, "5.1.1 no such user", "bounced"),
        (550, "5.1.2 no such domain", "bounced"),
        (550, "5.1.3 bad address syntax", "bounced"),
        (550, "5.1.6 has moved", "bounced"),
        (556, "5.1.10 null MX", "bounced"),
        (554, "5.1.1: unknown", "bounced"),
        (550, "#5.1.1 unknown", "bounced"),
        (551, "user not local", "bounced"),
        (553, "mailbox name not allowed", "bounced"),
        (551, "5.6.0 not here", "bounced"),
        (553, "5.3.0 not here", "bounced"),
        (551, "5.7.1 you may not send there", "failed"),
        (553, "5.7.1 <shop@a.example>: Sender address rejected: not owned by user alice", "failed"),
        (553, "5.7.27 sender has a null MX", "failed"),
        (553, "5.1.7 bad sender address", "failed"),
        (551, "5.1.7 bad sender address", "failed"),
        (553, "5.1.8 bad sender domain", "failed"),
        (550, "5.1.8 bad sender domain", "failed"),
        (550, "no such user", "failed"),
        (550, "5.7.1 relaying denied", "failed"),
        (550, "5.2.1 mailbox disabled", "failed"),
        (552, "5.2.2 mailbox full", "failed"),
        (552, "5.2.3 too big", "failed"),
        (552, "5.5.3 too many recipients", "deferred"),
        (554, "5.7.1 policy", "failed"),
        (599, "who knows", "failed"),
    ],
)
def test_a_reply_to_rcpt(code: int, text: str, expected: Verdict) -> None:
    assert verdict("rcpt", code, enhanced_status(text)) == expected


@pytest.mark.parametrize("stage", ["mail", "data", "dot"])
@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "5.1.1 no such user", "failed"),
        (551, "not local", "failed"),
        (553, "sender not allowed", "failed"),
        (552, "5.3.4 too big", "failed"),
        (554, "5.7.1 spam", "failed"),
        (421, "4.3.2 closing", "deferred"),
        (451, "4.3.0 local error", "deferred"),
        (250, "2.0.0 queued", "accepted"),
    ],
)
def test_only_an_answer_to_rcpt_is_ever_a_bounce(stage: Stage, code: int, text: str, expected: Verdict) -> None:
    assert verdict(stage, code, enhanced_status(text)) == expected


@pytest.mark.parametrize(("code", "text"), [(550, "4.1.1 unknown"), (450, "5.1.1 unknown"), (550, "2.1.5 ok")])
def test_a_refusal_whose_codes_disagree_is_temporary(code: int, text: str) -> None:
    assert disagree(code, enhanced_status(text))
    assert verdict("rcpt", code, enhanced_status(text)) == "deferred"


def test_an_acceptance_stands_whatever_its_text_says() -> None:
    assert verdict("dot", 250, enhanced_status("5.0.0 odd")) == "accepted"


@given(code=st.integers(200, 299) | st.integers(400, 599), stage=st.sampled_from(("mail", "rcpt", "data", "dot")))
def test_without_enhanced_code_the_first_digit_decides_whether_to_retry(code: int, stage: Stage) -> None:
    expected = {2: {"accepted"}, 4: {"deferred"}, 5: {"failed", "bounced"}}[code // 100]
    assert verdict(stage, code, None) in expected


@pytest.mark.parametrize("code", [100, 334, 354, 600])
def test_what_is_no_answer_is_not_given_a_meaning(code: int) -> None:
    with pytest.raises(ValueError, match="no answer"):
        verdict("dot", code, None)


@pytest.mark.parametrize(
    ("stage", "code", "text", "kind"),
    [
        ("connect", 421, "too busy", "connection"),
        ("connect", 554, "5.7.1 we do not like you", "connection"),
        ("ehlo", 550, "bad name", "connection"),
        ("starttls", 454, "4.7.0 TLS not available", "configuration"),
        ("starttls", 501, "syntax", "configuration"),
        ("auth", 535, "5.7.8 credentials invalid", "configuration"),
        ("auth", 534, "5.7.9 mechanism too weak", "configuration"),
        ("auth", 432, "4.7.12 password transition needed", "configuration"),
        ("auth", 454, "4.7.0 temporary authentication failure", "connection"),
        ("auth", 421, "closing", "connection"),
        ("auth", 550, "account disabled", "configuration"),
        ("mail", 530, "5.7.0 must issue STARTTLS first", "configuration"),
        ("mail", 538, "5.7.11 encryption required", "configuration"),
        ("rcpt", 535, "5.7.8 not logged in", "configuration"),
        ("mail", 421, "4.3.2 closing", "connection"),
        ("rcpt", 421, "closing", "connection"),
        ("data", 421, "closing", "connection"),
        ("dot", 421, "closing", "connection"),
        ("mail", 454, "Throttling failure: Daily message quota exceeded.", "quota"),
        ("dot", 454, "Throttling failure: Maximum sending rate exceeded.", "throttled"),
    ],
)
def test_trouble_is_the_providers_own(stage: Stage, code: int, text: str, kind: str) -> None:
    trouble = provider_trouble(stage, code, text)
    assert trouble is not None
    assert (trouble.kind, trouble.smtp_code, trouble.text) == (kind, code, text)
    assert trouble.enhanced_status == enhanced_status(text)


@pytest.mark.parametrize(
    ("stage", "code", "text"),
    [
        ("mail", 550, "5.1.8 sender rejected"),
        ("mail", 451, "4.3.0 later"),
        ("rcpt", 452, "4.2.2 over quota"),
        ("dot", 554, "5.7.1 spam"),
        ("data", 354, "go ahead"),
        ("mail", 250, "ok"),
    ],
)
def test_what_concerns_the_message_is_no_trouble(stage: Stage, code: int, text: str) -> None:
    assert provider_trouble(stage, code, text) is None


@given(code=st.integers(400, 599), stage=st.sampled_from(("connect", "ehlo", "starttls", "auth")))
def test_before_mail_every_refusal_is_trouble(code: int, stage: Stage) -> None:
    assert provider_trouble(stage, code, "") is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.1.1 unknown", "5.1.1"),
        ("5.1.10", "5.1.10"),
        ("4.7.999 x", "4.7.999"),
        ("5.1 unknown", None),
        ("5.1.1.1 unknown", None),
        ("5.1.1000 unknown", None),
        ("3.1.1 unknown", None),
        ("unknown 5.1.1", None),
        ("192.0.2.1 is listed", None),
        ("", None),
    ],
)
def test_the_enhanced_code_is_the_first_word(text: str, expected: str | None) -> None:
    assert enhanced_status(text) == expected


def test_a_recipients_reply_keeps_the_relays_words() -> None:
    reply = recipient_reply("bob@b.example", "rcpt", 550, "5.1.1 no such user")
    assert (reply.outcome, reply.smtp_code, reply.enhanced_status) == ("bounced", 550, "5.1.1")
    assert reply.text == "5.1.1 no such user"
