"""The rows of docs/reliability.md: what a relay does, and what the sender has to record and to do about it."""

from dataclasses import dataclass, field
from typing import Literal

from tests.support.relay import Act, Script, close, hang, lose, raw, reset, say

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
LOGIN = ("user", "right")

Again = Literal["never", "later", "at once"]
Provider = Literal["runs", "circuit fed", "slowed down", "quota used up", "stopped"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one email; the same words for what is expected and for what was seen.

    `recipients`: outcome and codes in the first attempt's fact. `again`: when those who remain are tried again.
    `then`: the facts after the first. `copies`: how often the relay took the message, by recipient, in the end.
    `kept`: the connection served the next message, too.
    """

    fact: str
    recipients: dict[str, str]
    reason: str | None = None
    again: Again = "never"
    then: tuple[str, ...] = ()
    provider: Provider = "runs"
    kept: bool = True
    copies: dict[str, int] = field(default_factory=lambda: {ADA: 1, BOB: 1})


@dataclass(frozen=True, slots=True)
class Row:
    """`warning`: words that the operator's log has to have. `large`: more than the socket buffers hold."""

    table: str
    relay: str
    script: Script
    seen: Seen
    to: tuple[str, ...] = (ADA, BOB)
    warning: str | None = None
    large: bool = False
    encryption: Literal["none", "starttls"] = "none"
    login: bool = False


def both(words: str) -> dict[str, str]:
    return {ADA: words, BOB: words}


def not_sent(codes: str = "", *, reason: str = "connection", provider: Provider = "circuit fed") -> Seen:
    """Before the dot, and not about the message: everybody waits, then everybody gets it once."""
    return Seen("deferred", both(f"deferred {codes}".strip()), reason, "later", ("sent",), provider, kept=False)


def bob_is(words: str, *, again: Again = "never") -> Seen:
    """Only one of two is refused."""
    later = again != "never"
    copies = {ADA: 1, BOB: 1 if later else 0}
    outcomes = {ADA: "accepted 250 2.0.0", BOB: words}
    return Seen("sent", outcomes, None, again, ("sent",) if later else (), copies=copies)


def for_bob(reply: str) -> Script:
    return {f"RCPT:{BOB}": [say(reply)]}


def ended(fact: str, words: str) -> Seen:
    return Seen(fact, both(words), copies=both_copies(0))


def both_copies(count: int) -> dict[str, int]:
    return {ADA: count, BOB: count}


UNKNOWN = Seen("unknown", both("unknown"), "final_dot", "later", ("sent",), kept=False, copies=both_copies(2))


def waits(words: str) -> Seen:
    """A refusal for now, of everybody, by a provider that is well."""
    return Seen("deferred", both(words), None, "later", ("sent",))


Plain = tuple[tuple[str, Script, Seen], ...]
BREAKS: Plain = (
    ("no banner", {"connect": [hang()]}, not_sent()),
    ("banner 421", {"connect": [say("421 4.3.2 too busy", "close")]}, not_sent("421 4.3.2")),
    ("banner 554", {"connect": [say("554 5.7.1 go away", "close")]}, not_sent("554 5.7.1")),
    ("EOF after MAIL", {"MAIL": [close()]}, not_sent()),
    ("RCPT 421 + close", {"RCPT": [say("421 4.7.0 closing", "close")]}, not_sent("421 4.7.0")),
    ("EOF at DATA command", {"DATA": [close()]}, not_sent()),
    ("EOF after final dot", {"dot": [lose()]}, UNKNOWN),
    ("RST after final dot", {"dot": [Act(b"", "reset", message_kept=True)]}, UNKNOWN),
    ("no reply after final dot", {"dot": [Act(b"", "hang", message_kept=True)]}, UNKNOWN),
    ("421 after final dot", {"dot": [say("421 4.3.2 closing", "close")]}, not_sent("421 4.3.2")),
    ("451 after final dot", {"dot": [say("451 4.3.0 later")]}, waits("deferred 451 4.3.0")),
    ("554 after final dot", {"dot": [say("554 5.6.0 no")]}, ended("failed", "failed 554 5.6.0")),
    ("garbage reply before the dot", {"MAIL": [raw(b"what?\r\n")]}, not_sent()),
    ("garbage reply after the dot", {"dot": [Act(b"what?\r\n", message_kept=True)]}, UNKNOWN),
    ("some RCPT refused", for_bob("550 5.1.1 unknown"), bob_is("bounced 550 5.1.1")),
    ("all refused", {"RCPT": [say("550 5.1.1 unknown")] * 2}, ended("bounced", "bounced 550 5.1.1")),
    ("452 for 2nd+ RCPT", for_bob("452 4.5.3 too many"), bob_is("deferred 452 4.5.3", again="at once")),
)
REPLIES: Plain = (
    ("2yz", {}, Seen("sent", both("accepted 250 2.0.0"))),
    ("421 any time", {"MAIL": [say("421 4.3.2 closing", "close")]}, not_sent("421 4.3.2")),
    ("450 on RCPT", for_bob("450 4.2.1 busy"), bob_is("deferred 450 4.2.1", again="later")),
    ("451 4.7.1 on RCPT", {"RCPT": [say("451 4.7.1 greylisted")] * 2}, waits("deferred 451 4.7.1")),
    ("452 4.3.1 storage", {"MAIL": [say("452 4.3.1 no room")]}, waits("deferred 452 4.3.1")),
    ("452 4.2.2 mailbox full", for_bob("452 4.2.2 full"), bob_is("deferred 452 4.2.2", again="later")),
    ("550 5.1.1 on RCPT", for_bob("550 5.1.1 unknown"), bob_is("bounced 550 5.1.1")),
    ("550 5.1.2 on RCPT", for_bob("550 5.1.2 no such domain"), bob_is("bounced 550 5.1.2")),
    ("550 5.1.10 on RCPT", for_bob("550 5.1.10 null MX"), bob_is("bounced 550 5.1.10")),
    ("551 on RCPT", for_bob("551 not local"), bob_is("bounced 551")),
    ("553 on RCPT", for_bob("553 no such mailbox name"), bob_is("bounced 553")),
    ("553 5.7.1 on RCPT (sender)", for_bob("553 5.7.1 not owned by user"), bob_is("failed 553 5.7.1")),
    ("552 5.3.4 too big", {"dot": [say("552 5.3.4 too big")]}, ended("failed", "failed 552 5.3.4")),
    ("552 5.2.3 too big", {"dot": [say("552 5.2.3 too big")]}, ended("failed", "failed 552 5.2.3")),
    ("554 5.7.1 at DATA", {"DATA": [say("554 5.7.1 spam")]}, ended("failed", "failed 554 5.7.1")),
    ("554 5.7.1 after DATA", {"dot": [say("554 5.7.1 spam")]}, ended("failed", "failed 554 5.7.1")),
    ("unknown 5yz", for_bob("599 what"), bob_is("failed 599")),
)
SENDER = (
    ("553 5.1.8 on MAIL", "553 5.1.8 bad sender", "failed 553 5.1.8"),
    ("550 5.7.1 on MAIL", "550 5.7.1 sender not allowed", "failed 550 5.7.1"),
    ("554 on MAIL (SES)", "554 Message rejected: Email address is not verified.", "failed 554"),
)
TOO_FAST = "454 Throttling failure: Maximum sending rate exceeded."
USED_UP = "454 Throttling failure: Daily message quota exceeded."
WITHOUT_TLS = "454 4.7.0 TLS not available"

USED_UP_FOR_GOOD = (
    ("550 5.4.5 at the dot (Gmail)", "dot", "550 5.4.5 Daily user sending limit exceeded."),
    ("550 5.1.90 on RCPT (Microsoft)", "RCPT", "550 5.1.90 You have reached your daily limit for message recipients"),
    ("554 5.2.0 at the dot (Microsoft)", "dot", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceeded"),
)
NOT_FOR_US = (
    ("554 5.7.1 relay access denied", "554 5.7.1 <bob@example.com>: Relay access denied"),
    ("550 5.7.60 may not send as this sender", "550 5.7.60 Client does not have permissions to send as this sender"),
)


def codes(reply: str) -> str:
    return " ".join(reply.split()[:2])


def used_up(reply: str) -> Seen:
    return not_sent(codes(reply), reason="quota", provider="quota used up")


def stopped(words: str) -> Seen:
    return not_sent(words, reason="configuration", provider="stopped")


# One by one: each transaction of three takes one.
ONE_EACH: Script = {"RCPT": [Act(), say("452 4.5.3 too many"), say("452 4.5.3 too many"), Act(), say("452 too many")]}
ALL_THREE = Seen(
    "sent",
    {ADA: "accepted 250 2.0.0", BOB: "deferred 452 4.5.3", EVE: "deferred 452 4.5.3"},
    again="at once",
    then=("sent", "sent"),
    copies={ADA: 1, BOB: 1, EVE: 1},
)
LONG_WORDS = Act(b"550 5.1.1 \x1b[31mred\x07 \xff" + b"x" * 900 + b"\r\n")

ROWS: tuple[Row, ...] = (
    *(Row("3.2", relay, script, seen) for relay, script, seen in BREAKS),
    Row("3.2", "EOF in the middle of content", {"content": [close()]}, not_sent(), large=True),
    Row("3.2", "RST in the middle of content", {"content": [reset()]}, not_sent(), large=True),
    *(Row("3.4", relay, script, seen) for relay, script, seen in REPLIES),
    Row("3.4", "452 4.5.3 too many recipients", ONE_EACH, ALL_THREE, to=(ADA, BOB, EVE)),
    Row(
        "3.4", "454 Throttling (rate)", {"dot": [say(TOO_FAST)]},
        Seen("sent", both("accepted 250 2.0.0"), provider="slowed down", kept=False),
    ),
    Row(
        "3.4", "454 Throttling (quota)", {"dot": [say(USED_UP)]},
        not_sent("454", reason="quota", provider="quota used up"),
    ),
    *(
        Row("3.4", relay, {stage: [say(reply)] * (2 if stage == "RCPT" else 1)}, used_up(reply))
        for relay, stage, reply in USED_UP_FOR_GOOD
    ),
    *(Row("3.4", relay, {"RCPT": [say(reply)] * 2}, stopped(codes(reply))) for relay, reply in NOT_FOR_US),
    Row("3.4", "454 4.7.0 TLS", {"STARTTLS": [say(WITHOUT_TLS)]}, stopped("454 4.7.0"), encryption="starttls"),
    Row("3.4", "530 5.7.0 must STARTTLS", {"MAIL": [say("530 5.7.0 Must issue STARTTLS")]}, stopped("530 5.7.0")),
    Row("3.4", "534 auth", {"AUTH": [say("534 5.7.9 too weak")] * 2}, stopped("534 5.7.9"), login=True),
    Row("3.4", "535 auth", {"AUTH": [say("535 5.7.8 credentials invalid")] * 2}, stopped("535 5.7.8"), login=True),
    *(
        Row("3.4", relay, {"MAIL": [say(reply)]}, ended("failed", words), warning=f"refuses the sender: {reply}")
        for relay, reply, words in SENDER
    ),
    Row(
        "3.4", "classes disagree (550 4.1.1)", for_bob("550 4.1.1 undecided"),
        bob_is("deferred 550 4.1.1", again="later"), warning="taken as temporary: 550 4.1.1 undecided",
    ),
    Row("3.4", "text from outside", {f"RCPT:{BOB}": [LONG_WORDS]}, bob_is("bounced 550 5.1.1")),
)  # fmt: skip
