"""Fields with a grammar of their own: the programs that read them find what was put in (RFC 2047 section 5)."""

import contextlib
import time
from email import message_from_bytes, message_from_string, policy
from email.headerregistry import AddressHeader
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.mime.addresses import normal_domain, parse_address
from libs.common.mime.structured import KINDS, Kind, check_field, field, kind_of, mailboxes_in, parse_addresses

ADDRESS_FIELDS = sorted(name for name, kind in KINDS.items() if kind is Kind.ADDRESSES)
TOKEN_FIELDS = sorted(name for name, kind in KINDS.items() if kind is Kind.TOKENS)
UNSUBSCRIBE = "<https://u.example/out/YW5uQHJjcHQuZXhhbXBsZQ==?list=3>, <mailto:out@u.example?subject=x>"


def unfolded(line: str) -> str:
    """What stands behind the colon (RFC 5322 section 2.2.3)."""
    return line.partition(":")[2].replace("\r\n", "").strip()


def lines_of(line: str) -> list[str]:
    return line.removesuffix("\r\n").split("\r\n")


@pytest.mark.parametrize("name", ["Reply-To", "Disposition-Notification-To", "errors-to", "RESENT-FROM"])
def test_an_address_keeps_its_place_beside_an_encoded_name(name: str) -> None:
    line = field(name, "Jürgen Krämer <answers@hdr.example>, plain@hdr.example")
    assert line.isascii()
    header = cast("AddressHeader", message_from_string(f"To: {unfolded(line)}\n\n", policy=policy.default)["To"])
    assert [(each.display_name, each.addr_spec) for each in header.addresses] == [
        ("Jürgen Krämer", "answers@hdr.example"),
        ("", "plain@hdr.example"),
    ]


@pytest.mark.parametrize("name", TOKEN_FIELDS)
def test_ids_and_urls_are_never_encoded(name: str) -> None:
    assert unfolded(field(name, UNSUBSCRIBE)) == UNSUBSCRIBE
    assert "=?utf-8" not in field(name, UNSUBSCRIBE)


def test_a_long_list_of_ids_is_folded_between_them() -> None:
    ids = [f"<{number}.{'a' * 40}@a.example>" for number in range(40)]
    line = field("References", " ".join(ids))
    assert unfolded(line).split() == ids
    assert max(map(len, lines_of(line))) <= 78


def test_elements_without_space_are_parted_when_the_line_is_too_long() -> None:
    urls = [f"<https://u.example/{number}/{'a' * 400}>" for number in range(3)]
    line = field("List-Unsubscribe", ",".join(urls))
    assert unfolded(line).replace(" ", "").split(",") == urls
    assert max(map(len, lines_of(line))) <= 998
    ids = [f"<{'b' * 500}@{number}.example>" for number in range(3)]
    assert unfolded(field("References", "".join(ids))).split() == ids


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("List-Unsubscribe", "<https://ü.example/>", "takes ASCII only"),
        ("References", "<ü@a.example>", "takes ASCII only"),
        ("In-Reply-To", f"<{'a' * 990}@a.example>", "without a space"),
        ("Reply-To", "", "holds no address"),
        ("Reply-To", "nobody", "no '@'"),
        ("Reply-To", "Team: a@b.example, c@d.example;", "does not belong"),
        ("Disposition-Notification-To", "Jürgen <a@b.example> x", "after the address"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(name: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_field(name, value)
    # An email that was accepted before there was this check is still written, as it was then.
    assert field(name, value).startswith(f"{name}:")


@pytest.mark.parametrize("name", ["X-Campaign", "Comments", "Keywords", "Organization"])
def test_any_other_field_is_text(name: str) -> None:
    assert kind_of(name) is Kind.TEXT
    check_field(name, "Grüße =?")
    assert message_from_string(field(name, "Grüße =?"), policy=policy.default)[name] == "Grüße =?"


def test_addresses_in_fields_count_for_smtputf8() -> None:
    given = {"Reply-To": "Jörg <jörg@a.example>", "X-Other": "x@y.example", "Errors-To": "broken"}
    assert [each.address for each in mailboxes_in(given)] == ["jörg@a.example"]


NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters='",;<>@\\()[]:'), max_size=30)
LOCALS = st.text("abcz019.-_+", min_size=1, max_size=20).filter(
    lambda text: ".." not in text and not text.startswith(".") and not text.endswith(".")
)


@given(
    st.sampled_from(ADDRESS_FIELDS),
    st.lists(st.tuples(NAMES, LOCALS), min_size=1, max_size=5),
)
def test_the_email_package_reads_the_same_addresses(name: str, people: list[tuple[str, str]]) -> None:
    written = ", ".join(f'"{who}" <{local}@a.example>' if who else f"{local}@a.example" for who, local in people)
    line = field(name, written)
    assert max(map(len, lines_of(line))) <= 998
    message = message_from_bytes(b"To:" + unfolded(line).encode() + b"\n\n", policy=policy.default)
    header = cast("AddressHeader", message["To"])
    assert [each.addr_spec for each in header.addresses] == [f"{local}@a.example" for _, local in people]
    assert [each.address for each in parse_addresses(written)] == [f"{local}@a.example" for _, local in people]


@given(
    st.sampled_from(TOKEN_FIELDS),
    st.lists(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200), min_size=1),
)
def test_tokens_come_out_as_they_went_in(name: str, words: list[str]) -> None:
    line = field(name, " ".join(words))
    assert unfolded(line).split() == words
    assert max(map(len, lines_of(line))) <= 998


HOSTILE = {
    "open quotes": '"' * 8_000,
    "escaped open quotes": '"\\' * 4_000,
    "open quotes before an address": '"a' * 3_900 + "@b.example",
    "open brackets": "<" * 8_000,
    "brackets that close": " <" * 3_900 + ">",
    "words in quotes": '"" ' * 2_600 + "<a@b.example>",
    "commas and at signs": ",@" * 4_000,
    "many addresses": "a@b.example," * 600,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_address_lists_are_read_in_linear_time(value: str) -> None:
    """Four times as much takes about four times as long: what is quadratic takes sixteen times."""

    def seconds(text: str) -> float:
        tries = []
        for _ in range(5):
            begun = time.process_time()
            for read in (parse_addresses, parse_address):
                with contextlib.suppress(ValueError):
                    read(text)
            tries.append(time.process_time() - begun)
        return min(tries)

    assert seconds(value * 4) < 0.02 + 8 * seconds(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (", ".join(f"a{number}@b.example" for number in range(51)), "holds 51 addresses, at most 50"),
        (f"{'n' * 1_000} <a@b.example>", "more than 1,000 characters"),
    ],
)
def test_an_address_list_is_bounded(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_field("Reply-To", value)


def test_commas_that_are_quoted_part_no_addresses() -> None:
    value = '"Ann, \\", B" <a@b.example>, "c,d"@e.example,, f@g.example'
    assert [each.address for each in parse_addresses(value)] == ["a@b.example", '"c,d"@e.example', "f@g.example"]


@pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\u2060", "\ufe0f", "\u2800", "\u180e", "\ufeff"])
def test_what_idna_would_drop_is_named_in_a_domain(hidden: str) -> None:
    with pytest.raises(ValueError, match=f"U\\+{ord(hidden):04X}"):
        normal_domain(f"ac{hidden}me.example")
