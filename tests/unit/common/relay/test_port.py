"""What cannot be sent safely cannot be submitted, and a hand-over ends in one way only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.relay.port import RecipientReply, SendResult, Submission, Trouble, answered, troubled, unknown

MESSAGE = b"Subject: hi\r\n\r\nhello\r\n"


def submission(
    message: bytes = MESSAGE,
    *,
    sender: str = "a@a.example",
    recipients: tuple[str, ...] = ("b@b.example",),
    smtputf8: bool = False,
) -> Submission:
    return Submission(sender, recipients, message, "<1@a.example>", smtputf8)


@pytest.mark.parametrize(
    "message",
    [
        b"hello",
        b"hello\n",
        b"hello\r",
        b"a\nb\r\n",
        b"a\rb\r\n",
        b"a\r\n.\n\r\n",
        b"a\n\r\n",
        b"a\r\r\n",
        b"\n.\n\r\n",
        b"",
    ],
)
def test_a_message_with_a_bare_line_end_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="CRLF"):
        submission(message)


@given(st.binary())
def test_no_message_that_could_smuggle_another_is_let_through(content: bytes) -> None:
    try:
        made = submission(content, smtputf8=True)
    except ValueError:
        return
    assert b"\n" not in made.message.replace(b"\r\n", b"")
    assert b"\r" not in made.message.replace(b"\r\n", b"")


def test_a_message_is_7_bit_unless_it_needs_smtputf8() -> None:
    with pytest.raises(ValueError, match="7-bit"):
        submission("é\r\n".encode())
    assert submission("é\r\n".encode(), smtputf8=True).smtputf8


@pytest.mark.parametrize(
    "address",
    ["b@b.example>\r\nRCPT TO:<c@c.example", "b b@b.example", "b@b.example\n", "b\0@b.example", "<b@b.example>"],
)
def test_an_address_that_could_end_early_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="an address holds"):
        submission(recipients=("ok@b.example", address))
    with pytest.raises(ValueError, match="an address holds"):
        submission(sender=address)


@pytest.mark.parametrize("recipients", [(), ("",), ("b@b.example", "")])
def test_there_is_always_somebody_to_send_to(recipients: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="recipients"):
        submission(recipients=recipients)


def test_the_null_sender_is_a_sender() -> None:
    assert submission(sender="").sender == ""


def test_a_result_is_exactly_one_case() -> None:
    reply = RecipientReply("b@b.example", "accepted", 250, None, "ok")
    trouble = Trouble("connection", "gone")
    with pytest.raises(ValueError, match="exactly one way"):
        SendResult()
    with pytest.raises(ValueError, match="exactly one way"):
        SendResult(recipients=(reply,), trouble=trouble)
    with pytest.raises(ValueError, match="exactly one way"):
        SendResult(trouble=trouble, abandoned=True)
    assert troubled(trouble).trouble == trouble
    assert unknown("no answer").unknown_stage == "final_dot"


def test_the_providers_id_counts_only_if_somebody_was_accepted() -> None:
    accepted = RecipientReply("b@b.example", "accepted", 250, None, "ok")
    refused = RecipientReply("c@b.example", "failed", 550, None, "no")
    assert answered((accepted, refused), "<1@a.example>").provider_message_id == "<1@a.example>"
    assert answered((refused,), "<1@a.example>").provider_message_id is None
