"""Addresses: what is read as which mailbox, and what is refused in which words."""

from email import message_from_string, policy
from email.headerregistry import AddressHeader
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.mime import Mailbox, needs_smtputf8, normal_domain, parse_address


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("bob@b.example", Mailbox("bob@b.example")),
        ("  bob@b.example\t", Mailbox("bob@b.example")),
        ("Bob@B.Example", Mailbox("Bob@b.example")),
        ("<bob@b.example>", Mailbox("bob@b.example")),
        ("Bob <bob@b.example>", Mailbox("bob@b.example", "Bob")),
        ("Bob<bob@b.example>", Mailbox("bob@b.example", "Bob")),
        ("Bob   van  Dyk <bob@b.example>", Mailbox("bob@b.example", "Bob van Dyk")),
        ("J. R. Hartley < j@b.example >", Mailbox("j@b.example", "J. R. Hartley")),
        ('"Acme, Inc." <a@b.example>', Mailbox("a@b.example", "Acme, Inc.")),
        ('"a \\"b\\" \\\\ <c>" d <a@b.example>', Mailbox("a@b.example", 'a "b" \\ <c> d')),
        ('"" <a@b.example>', Mailbox("a@b.example")),
        ("Grüße 😀 <a@b.example>", Mailbox("a@b.example", "Grüße 😀")),
        ("o'brien+tag=x!#$%&*/?^_`{|}~-@b.example", Mailbox("o'brien+tag=x!#$%&*/?^_`{|}~-@b.example")),
        ('"bob b"@b.example', Mailbox('"bob b"@b.example')),
        ('"a@b<c>"@b.example', Mailbox('"a@b<c>"@b.example')),
        ('X <"a>b"@b.example>', Mailbox('"a>b"@b.example', "X")),
        ('"bo\\b"@b.example', Mailbox("bob@b.example")),
        ('"a\\"b"@b.example', Mailbox('"a\\"b"@b.example')),
        ("a@Bücher.Example", Mailbox("a@xn--bcher-kva.example")),
        ("a@xn--bcher-kva.example", Mailbox("a@xn--bcher-kva.example")),
        ("a@faß.example", Mailbox("a@xn--fa-hia.example")),
        ("a@例え。テスト", Mailbox("a@xn--r8jz45g.xn--zckzah")),
        ("a@r3---sn.b.example", Mailbox("a@r3---sn.b.example")),
        ("jörg@b.example", Mailbox("jörg@b.example")),
        ("a@localhost", Mailbox("a@localhost")),
        ("a@1and1.example", Mailbox("a@1and1.example")),
        (f"{'a' * 64}@b.example", Mailbox(f"{'a' * 64}@b.example")),
    ],
)
def test_a_mailbox_is_read(text: str, mailbox: Mailbox) -> None:
    assert parse_address(text) == mailbox


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("bob", "no '@'"),
        ("@b.example", "before the '@'"),
        ("bob@", "domain is missing"),
        ("bob@b..example", "empty label"),
        ("bob@.example", "empty label"),
        ("bob@b.example.", "empty label"),
        ("bob@[127.0.0.1]", "address literals"),
        ("bob@127.0.0.1", "ip addresses"),
        ("bob@b_c.example", "valid host name"),
        ("bob@-b.example", "valid host name"),
        (f"bob@{'b' * 64}.example", "valid host name"),
        ("bob@bü\u00adch er.example", r"holds U\+00AD SOFT HYPHEN"),
        ("bob@xn--a.example", "domain is not valid"),
        (f"bob@{'b.' * 127}example", "longer than 255"),
        (f"bob@{'ü' * 60}.example", "domain is not valid"),
        (f"{'a' * 245}@b.example", "longer than 254"),
        (f"{'ü' * 123}@b.example", "longer than 254"),
        (f"{'a' * 64}@{'b' * 63}.{'b' * 63}.{'b' * 62}", "longer than 254"),
        ("a b@b.example", "does not belong"),
        ("a..b@b.example", "does not belong"),
        (".a@b.example", "does not belong"),
        ("a.@b.example", "does not belong"),
        ("a@b@c.example", "does not belong"),
        ("a\u00a0b@b.example", r"holds U\+00A0 NO-BREAK SPACE \(character 2 of 13\)"),
        (
            "a\u200bb@b.example",
            r"holds U\+200B ZERO WIDTH SPACE \(character 2 of 13\), which cannot be seen: remove it",
        ),
        ("a@b.example\u200b", r"U\+200B ZERO WIDTH SPACE \(character 12 of 12\)"),
        ("\ufeffa@b.example", r"U\+FEFF ZERO WIDTH NO-BREAK SPACE \(character 1 of 12\)"),
        ("Bob <a@b.example>\u200e", r"U\+200E LEFT-TO-RIGHT MARK"),
        ("\u00a0Bob <a@b.example>", r"U\+00A0 NO-BREAK SPACE"),
        ("Bob <a@b.example\u2060>", r"U\+2060 WORD JOINER"),
        ("a@b.exam\ufe0fple", r"U\+FE0F VARIATION SELECTOR-16"),
        ("a(comment)@b.example", "does not belong"),
        ("a@b.example, c@d.example", "more than one address: give a list"),
        ("a@b.example;c@d.example", "more than one address"),
        ('"a@b.example', "quoted string"),
        ('"a"b@b.example', "quoted string"),
        ("Bob <bob@b.example", "is missing"),
        ("Bob bob@b.example>", "without a '<'"),
        ('"Bob <bob@b.example>', "not closed"),
        ("Bob <bob@b.example> x", "after the address"),
        ("<a@b.example> <c@d.example>", "does not belong"),
        ("Acme, Inc. <a@b.example>", "quotation marks"),
        ("a@b.example, Bob <c@d.example>", "more than one address"),
        ("Team: a@b.example;", "does not belong"),
        ("Bob (work) <a@b.example>", "quotation marks"),
        ("<>", "no '@'"),
        ("a@b.example\r\nBcc: c@d.example", r"CR \(U\+000D\)"),
        ("a\n <a@b.example>", r"LF \(U\+000A\)"),
        ("a\0@b.example", r"NUL \(U\+0000\)"),
        ("\x1b <a@b.example>", r"U\+001B"),
        ("\u2028 <a@b.example>", r"U\+2028"),
        ("\ud800 <a@b.example>", "lone surrogate"),
    ],
)
def test_what_is_no_mailbox_is_refused_in_words(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{'a' * 244}@b.example",
        f"reply+{'a1b2c3d4' * 20}@reply.example",
        "Bob\u200d the \U0001f468\u200d\U0001f469 <a@b.example>",
        "a@\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.example",
    ],
    ids=["254 octets", "reply token", "joiners in a name", "joiner in a Persian domain"],
)
def test_unusual_mailboxes_that_exist_are_taken(text: str) -> None:
    assert parse_address(text).address.endswith(".example")


def test_domains_are_compared_in_one_form() -> None:
    assert normal_domain("BÜCHER.example") == normal_domain("xn--bcher-kva.EXAMPLE") == "xn--bcher-kva.example"


def test_only_local_parts_beyond_ascii_need_smtputf8() -> None:
    assert needs_smtputf8(["a@b.example", parse_address("jörg@b.example").address])
    assert not needs_smtputf8([parse_address("Jörg <a@bücher.example>").address])
    assert not needs_smtputf8([])


@given(st.text(max_size=80))
def test_any_text_is_a_mailbox_or_refused(text: str) -> None:
    try:
        mailbox = parse_address(text)
    except ValueError:
        return
    assert parse_address(mailbox.address) == Mailbox(mailbox.address)


PIECES = st.lists(
    st.sampled_from(["a", "B", ".", "@", '"', "\\", "<", ">", " ", ",", "(", ")", "b.example", "ü", ":", "=?"]),
    max_size=16,
)


@given(PIECES.map("".join))
def test_what_is_taken_the_email_package_reads_alike(text: str) -> None:
    try:
        mailbox = parse_address(text)
    except ValueError:
        return
    header = cast("AddressHeader", message_from_string(f"To: {text}\n\n", policy=policy.default)["To"])
    assert [(a.username, a.domain.lower(), a.display_name) for a in header.addresses] == [
        (a.username, a.domain, mailbox.name or "")
        for a in cast(
            "AddressHeader", message_from_string(f"To: {mailbox.address}\n\n", policy=policy.default)["To"]
        ).addresses
    ]
