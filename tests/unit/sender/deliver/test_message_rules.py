"""What goes over the wire, from the fact and the bodies."""

import email
import email.policy
from typing import Any

import pytest

from libs.common.facts import Envelope
from libs.common.jetstream.content import Content
from services.sender.deliver.message_rules import build_submission

EMAIL = "019b7600-0000-7000-8000-0000000000ab"


def accepted(**members: Any) -> Envelope:
    data = {
        "email_id": EMAIL,
        "from_address": "hello@acme.example",
        "from_name": "Acme",
        "recipients": [
            {"address": "ada@example.com", "name": "Ada", "kind": "to"},
            {"address": "bob@example.com", "name": None, "kind": "cc"},
            {"address": "eve@example.com", "name": None, "kind": "bcc"},
        ],
        "reply_to": [{"address": "help@acme.example", "name": None}],
        "subject": "Grüße",
        "message_id": f"<{EMAIL}@acme.example>",
        **members,
    }
    return Envelope("1", "s", "email.accepted.v1", f"email/{EMAIL}", "2026-01-01T12:00:00.000000Z", data)


CONTENT = Content(text="text", html="<p>as written</p>", tracked_html="<p>as sent</p>", headers={"X-A": "1"})


def test_the_message_names_everybody_but_bcc_and_the_envelope_only_those_who_are_owed() -> None:
    submission = build_submission(accepted(), CONTENT, ["eve@example.com"])
    assert submission.recipients == ("eve@example.com",)
    assert submission.sender == "hello@acme.example"
    assert b"eve@" not in submission.message
    parsed = email.message_from_bytes(submission.message, policy=email.policy.default)
    assert (parsed["To"], parsed["Cc"], parsed["Reply-To"]) == (
        "Ada <ada@example.com>",
        "bob@example.com",
        "help@acme.example",
    )
    assert (parsed["Subject"], parsed["X-A"], parsed["Message-ID"]) == ("Grüße", "1", submission.message_id)
    assert parsed["X-Temps-Email-Id"] == EMAIL


def test_the_tracked_html_is_sent_where_there_is_one() -> None:
    assert b"as sent" in build_submission(accepted(), CONTENT, ["ada@example.com"]).message
    untracked = Content(html="<p>as written</p>")
    assert b"as written" in build_submission(accepted(), untracked, ["ada@example.com"]).message


def test_every_attempt_sends_the_same_octets() -> None:
    first = build_submission(accepted(), CONTENT, ["ada@example.com"])
    second = build_submission(accepted(), CONTENT, ["bob@example.com"])
    assert first.message == second.message


def test_a_local_part_that_is_not_ascii_needs_smtputf8() -> None:
    recipients = [{"address": "jürgen@example.com", "name": None, "kind": "to"}]
    assert build_submission(accepted(recipients=recipients), CONTENT, ["jürgen@example.com"]).smtputf8
    assert not build_submission(accepted(), CONTENT, ["ada@example.com"]).smtputf8


def test_an_email_without_bodies_is_no_message() -> None:
    with pytest.raises(ValueError, match="body"):
        build_submission(accepted(), Content(), ["ada@example.com"])
