"""What a provider says is shown short, printable and without our credentials."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.relay.redact import redact


def test_words_from_outside_are_cut_at_512_characters() -> None:
    assert len(redact("x" * 5000)) == 512


@given(st.text())
def test_redacted_words_hold_no_control_character(text: str) -> None:
    shown = redact(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029\u202e" for char in shown)
    assert shown.encode() is not None


def test_our_own_credentials_are_struck_out_of_what_a_relay_says() -> None:
    text = "no: hunter2 / aHVudGVyMg== / hunter2"
    assert redact(text, ("aHVudGVyMg==", "hunter2")) == "no: *** / *** / ***"


def test_a_credential_across_the_cut_is_struck_out_too() -> None:
    assert "hun" not in redact("x" * 508 + "hunter2", ("hunter2",))
