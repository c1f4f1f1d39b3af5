"""Hosts and EHLO names as people type them."""

import pytest

from libs.common.relay.host_name import check_helo_name, check_host, is_full_name


@pytest.mark.parametrize(
    "host",
    [
        *(
            "smtp.example.com",
            "smtp.example.com.",
            "SMTP.Example.COM",
            "localhost",
            "mail_relay",
            "host.docker.internal",
        ),
        *("127.0.0.1", "::1", "[::1]", "2001:db8::1", "fe80::1%eth0", "::ffff:10.0.0.1", "bücher.example", "xn--a.b"),
        *("a" * 63 + ".example", "127.1"),
    ],
)
def test_a_name_or_address_is_a_host(host: str) -> None:
    assert check_host(f" {host} ") == host


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("smtp.example.com:587", "write smtp.example.com here and 587 as port"),
        ("[::1]:587", "write [::1] here and 587 as port"),
        ("10.0.0.1:25", "write 10.0.0.1 here and 25 as port"),
        ("smtp://smtp.example.com", "write the host name alone"),
        ("a..b", "two dots in a row"),
        (".example.com", "two dots in a row or one at its beginning"),
        ("[::1", "one bracket only"),
        ("::1]", "one bracket only"),
        ("[smtp.example.com]", "no host name and no IPv6 address"),
        ("1::2::3", "no host name and no IPv6 address"),
        ("fe80::1%a b", "no valid zone"),
        ("a b.example", "no host name"),
        ("user@smtp.example.com", "no host name"),
        ("smtp.example.com/mail", "no host name"),
        ("-a.example", "no host name"),
        ("a" * 64 + ".example", "longer than a host name"),
        (".".join(["a" * 60] * 5), "longer than a host name"),
        ("  ", "must not be blank"),
    ],
)
def test_what_is_no_host_says_what_to_write(host: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        check_host(host)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("mail.example.com", "mail.example.com"),
        ("MAIL.Example.com.", "mail.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[IPv6:2001:DB8::1]", "[IPv6:2001:db8::1]"),
        ("[2001:db8::1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_an_ehlo_name_is_spoken_in_ascii(name: str, spoken: str) -> None:
    assert check_helo_name(name) == spoken


@pytest.mark.parametrize("name", ["", "a b", "mail_1.example.com", "192.0.2.1", "[1.2.3]", "a..b", "x\r\ny"])
def test_what_is_no_ehlo_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"like mail|address literal"):
        check_helo_name(name)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        *(("mail.example.com", True), ("Mail.Example.com.", True), ("vm", False), ("localhost", False)),
        *(("localhost.localdomain", False), ("mac.local", False), ("1.0.0.127.in-addr.arpa", False)),
        *(("a_b.example.com", False), ("", False), ("10.0.0.1", False)),
    ],
)
def test_only_a_qualified_name_is_told_to_relays(name: str, full: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_full_name(name) is full
