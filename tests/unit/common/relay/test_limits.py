"""An email is refused when it is posted if its provider would refuse it later."""

import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from libs.common.relay.kinds import limits_of
from libs.common.relay.limits import Mail, complaints

MAIL = Mail(
    recipients=("bob@b.example",),
    sender="shop@shop.example",
    subject="Your order is on its way",
    text="It left our house today.",
    html="<p>It left our house today.</p>",
)
ALL: tuple[str, ...] = ("smtp", "ses", "scaleway")


def people(count: int) -> tuple[str, ...]:
    return tuple(f"person{number}@b.example" for number in range(count))


def fields(provider_type: str, mail: Mail) -> list[str]:
    return [field for field, _ in complaints(limits_of(provider_type), mail)]


@pytest.mark.parametrize("provider_type", ALL)
def test_an_ordinary_email_may_go_anywhere(provider_type: str) -> None:
    assert complaints(limits_of(provider_type), MAIL) == []


@pytest.mark.parametrize(("provider_type", "most"), [("scaleway", 10), ("ses", 50)])
def test_one_recipient_too_many_is_refused_and_counted(provider_type: str, most: int) -> None:
    assert limits_of(provider_type).recipients == most
    assert complaints(limits_of(provider_type), replace(MAIL, recipients=people(most))) == []
    ((field, words),) = complaints(limits_of(provider_type), replace(MAIL, recipients=people(most + 1)))
    assert field == "to"
    assert str(most) in words
    assert str(most + 1) in words


def test_smtp_relays_speak_for_themselves() -> None:
    whole = Mail(people(50), "jürgen@shop.example", "Hi", "x" * 2_000_000, "x" * 2_000_000)
    assert complaints(limits_of("smtp"), whole) == []


@pytest.mark.parametrize("field", ["subject", "text", "html"])
def test_scaleway_takes_nothing_shorter_than_ten_characters(field: str) -> None:
    def mail(value: str) -> Mail:
        return Mail(**{**asdict(MAIL), field: value})

    assert complaints(limits_of("scaleway"), mail("ten letter")) == []
    assert fields("scaleway", mail("nine char")) == [field]
    assert complaints(limits_of("ses"), mail("Hi")) == []


def test_a_body_that_is_not_there_is_not_too_short() -> None:
    assert complaints(limits_of("scaleway"), replace(MAIL, text=None)) == []
    assert complaints(limits_of("scaleway"), replace(MAIL, html="")) == []


def test_an_empty_subject_is_too_short_for_scaleway() -> None:
    assert fields("scaleway", replace(MAIL, subject="")) == ["subject"]


def test_too_large_names_the_body_that_is_larger() -> None:
    assert complaints(limits_of("scaleway"), replace(MAIL, html="x" * 1_900_000)) == []
    assert fields("scaleway", replace(MAIL, html="x" * 2_000_001)) == ["html"]
    assert fields("scaleway", replace(MAIL, text="x" * 1_100_000, html="x" * 1_000_000)) == ["text"]


def test_size_is_counted_in_bytes() -> None:
    assert fields("scaleway", replace(MAIL, text="é" * 1_000_001)) == ["text"]


def test_ses_counts_the_message_encoded() -> None:
    assert complaints(limits_of("ses"), replace(MAIL, html="x" * 29_900_000)) == []
    assert fields("ses", replace(MAIL, html="x" * 30_000_001)) == ["html"]


@pytest.mark.parametrize("provider_type", ["ses", "scaleway"])
def test_letters_outside_ascii_before_the_at_sign_are_refused(provider_type: str) -> None:
    mail = replace(MAIL, recipients=("bob@b.example", "jürgen@b.example"), sender="grüße@shop.example")
    assert fields(provider_type, mail) == ["to", "from"]
    assert "jürgen@b.example" in complaints(limits_of(provider_type), mail)[0][1]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    mail = Mail(people(11), "grüße@shop.example", "Hi", "short", None)
    assert fields("scaleway", mail) == ["to", "from", "subject", "text"]


def test_asking_brings_no_adapter_with_it() -> None:
    heavy = "aiohttp", "botocore", "aioboto3", "aiosmtplib", "asyncio", "libs.common.relay.scaleway.relay"
    code = f"import sys, libs.common.relay.limits; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
