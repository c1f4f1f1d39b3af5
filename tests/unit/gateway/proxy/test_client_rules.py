from ipaddress import ip_network

import pytest

from services.gateway.proxy.client_rules import (
    client_ip,
    is_same_site,
    is_trusted_peer,
    own_origins,
    scheme_of,
    user_agent_of,
)

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [b"198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", [b"198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b"1.2.3.4, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b"1.2.3.4, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", [b"1.2.3.4", b"198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", [b"10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", [b"unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.7, rubbish, 10.3.3.3"], "10.3.3.3"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("::ffff:10.0.0.1", [b"198.51.100.7"], "198.51.100.7"),
        ("fd00::1", [b"2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", [b"198.51.100.7:5678"], "198.51.100.7"),
        ("10.0.0.1", [b"[2001:db8::7]:443"], "2001:db8::7"),
        ("10.0.0.1", [b"[2001:db8::7], 10.1.1.1:80"], "2001:db8::7"),
        ("10.0.0.1", [b'"[2001:db8::7]:443"'], "2001:db8::7"),
        ("10.0.0.1", [b"1.2.3.4:5:6"], "10.0.0.1"),
        ("10.0.0.1", [b"[2001:db8::7"], "2001:db8::7"),
        (None, [], None),
        ("testclient", [b"1.2.3.4"], "testclient"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_proxy(
    peer: str | None, forwarded: list[bytes], expected: str | None
) -> None:
    assert client_ip(peer, forwarded, PROXIES) == expected


def test_without_trusted_proxies_the_header_means_nothing() -> None:
    assert client_ip("192.0.2.1", [b"1.2.3.4"], ()) == "192.0.2.1"
    assert client_ip("::ffff:192.0.2.1", [], ()) == "192.0.2.1"


@pytest.mark.parametrize(
    ("origin", "fetch_site", "host", "allowed"),
    [
        (b"http://localhost:8080", None, b"localhost:8080", True),
        (b"http://MAIL.example", None, b"mail.example", True),
        (b"http://mail.example:80", None, b"mail.example", True),
        (b"https://mail.example", None, b"mail.example", False),
        (b"https://public.example", None, b"inner:80", True),
        (b"https://public.example:443", None, b"inner:80", True),
        (b"http://public.example", None, b"inner:80", False),
        (b"http://localhost:8081", None, b"localhost:8080", False),
        (b"https://evil.example", b"same-origin", b"localhost:8080", False),
        (b"null", None, b"localhost:8080", False),
        (b"", None, b"", False),
        (None, b"same-origin", b"localhost:8080", True),
        (None, b"same-site", b"localhost:8080", False),
        (None, b"cross-site", b"localhost:8080", False),
        (None, b"none", b"localhost:8080", False),
        (None, None, b"localhost:8080", False),
    ],
)
def test_only_our_own_pages_may_change_things_with_a_cookie(
    origin: bytes | None, fetch_site: bytes | None, host: bytes, *, allowed: bool
) -> None:
    ours = own_origins(scheme="http", host=host, public_url="https://public.example/mail")
    same = is_same_site(origin=origin, fetch_site=fetch_site, own_origins=ours)
    assert same is allowed


@pytest.mark.parametrize(
    ("peer", "forwarded", "scheme"),
    [
        ("10.0.0.1", [b"https"], "https"),
        ("10.0.0.1", [b"http, HTTPS "], "https"),
        ("10.0.0.1", [b"https", b"http"], "http"),
        ("10.0.0.1", [b"gopher"], "http"),
        ("10.0.0.1", [], "http"),
        ("192.0.2.1", [b"https"], "http"),
        (None, [b"https"], "http"),
    ],
)
def test_only_a_trusted_proxy_says_that_it_was_https(peer: str | None, forwarded: list[bytes], scheme: str) -> None:
    assert scheme_of("http", forwarded, is_trusted=is_trusted_peer(peer, PROXIES)) == scheme


def test_user_agents_are_cut_and_made_readable() -> None:
    assert user_agent_of(b"x" * 600) == "x" * 512
    assert user_agent_of(b"") is None
    assert user_agent_of(b"a\xffb") == "a\ufffdb"
