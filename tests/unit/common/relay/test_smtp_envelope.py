"""What a message says on the wire: commands, what EHLO already rules out, and doubled dots."""

import smtplib
import time

from hypothesis import given
from hypothesis import strategies as st

from libs.common.relay.port import Submission
from libs.common.relay.smtp.envelope import commands, refused_unasked, stuffed

MESSAGE = b"Subject: hi\r\n\r\nhello\r\n"
LINES = st.lists(st.text(alphabet=".ab \t", max_size=5).map(str.encode), max_size=8)


def test_the_plain_envelope() -> None:
    submission = Submission("a@a.example", ("b@b.example", "c@c.example"), MESSAGE, "<1@a.example>")
    assert commands(submission, submission.recipients, {}) == [
        b"MAIL FROM:<a@a.example>\r\n",
        b"RCPT TO:<b@b.example>\r\n",
        b"RCPT TO:<c@c.example>\r\n",
    ]


def test_the_size_is_declared_where_it_is_asked_for() -> None:
    submission = Submission("", ("b@b.example",), MESSAGE, "<1@a.example>")
    assert commands(submission, submission.recipients, {"size": ""})[0] == b"MAIL FROM:<> SIZE=22\r\n"


def test_smtputf8_is_asked_for_by_the_message_or_by_an_address() -> None:
    offered = {"smtputf8": "", "8bitmime": ""}
    foreign = Submission("a@a.example", ("bärbel@b.example",), MESSAGE, "<1@a.example>")
    mail, rcpt = commands(foreign, foreign.recipients, offered)
    assert mail == b"MAIL FROM:<a@a.example> SMTPUTF8\r\n"
    assert rcpt == "RCPT TO:<bärbel@b.example>\r\n".encode()
    message = Submission("a@a.example", ("b@b.example",), "To: bärbel\r\n".encode(), "<1@a.example>", smtputf8=True)
    assert commands(message, message.recipients, offered)[0].endswith(b"> SMTPUTF8 BODY=8BITMIME\r\n")


def test_without_smtputf8_only_the_foreign_recipient_fails() -> None:
    submission = Submission("a@a.example", ("bärbel@b.example", "c@c.example"), MESSAGE, "<1@a.example>")
    refused = refused_unasked(submission, {})
    assert set(refused) == {"bärbel@b.example"}
    reply = refused["bärbel@b.example"]
    assert (reply.outcome, reply.smtp_code, reply.enhanced_status) == ("failed", None, "5.6.7")
    assert reply.text.startswith("unsupported_address")


def test_without_smtputf8_a_message_that_needs_it_fails_for_all() -> None:
    foreign_sender = Submission("ä@a.example", ("b@b.example", "c@c.example"), MESSAGE, "<1@a.example>")
    assert len(refused_unasked(foreign_sender, {})) == 2
    flagged = Submission("a@a.example", ("b@b.example",), MESSAGE, "<1@a.example>", smtputf8=True)
    assert len(refused_unasked(flagged, {})) == 1
    assert refused_unasked(flagged, {"smtputf8": ""}) == {}


def test_a_message_over_the_relays_limit_is_not_sent() -> None:
    submission = Submission("a@a.example", ("b@b.example",), MESSAGE, "<1@a.example>")
    (reply,) = refused_unasked(submission, {"size": "21"}).values()
    assert (reply.outcome, reply.enhanced_status) == ("failed", "5.3.4")
    assert "22 octets" in reply.text
    for limit in ("22", "0", "", "many"):
        assert refused_unasked(submission, {"size": limit}) == {}


@given(LINES)
def test_doubled_dots_are_those_of_the_standard_library(lines: list[bytes]) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    assert stuffed(message) == smtplib._quote_periods(message)  # type: ignore[attr-defined]


@given(LINES)
def test_no_line_of_the_content_is_a_lone_dot(lines: list[bytes]) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    assert b"." not in stuffed(message).split(b"\r\n")


def test_doubling_dots_is_linear() -> None:
    """CPU time, best of five; quadratic would be four hundred times as much for twenty times the lines."""

    def seconds(lines: int) -> float:
        message = b".\r\n" * lines
        start = time.thread_time()
        stuffed(message)
        return time.thread_time() - start

    small, large = min(seconds(50_000) for _ in range(5)), min(seconds(1_000_000) for _ in range(5))
    assert large < 150 * small
