"""What is kept of a visitor, by the operator's choice."""

from uuid import UUID

import pytest

from services.tracking.hits.visitor_rules import IpMode, is_loopback, kept_ip, kept_user_agent

ONE, OTHER = UUID(int=1), UUID(int=2)
KEY = b"k" * 32


def kept(ip: str | None, mode: IpMode, email_id: UUID = ONE, key: bytes = KEY) -> str | None:
    return kept_ip(ip, mode, email_id=email_id, key=key)


@pytest.mark.parametrize(
    ("ip", "mode", "expected"),
    [
        ("203.0.113.77", "full", "203.0.113.77"),
        ("203.0.113.77", "truncated", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "truncated", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "truncated", "203.0.113.0"),
        ("fe80::1%eth0", "truncated", "fe80::"),
        ("nonsense", "truncated", None),
        ("203.0.113.77", "none", None),
        (None, "full", None),
        (None, "hashed", None),
    ],
)
def test_an_address_is_kept_as_far_as_the_mode_allows(ip: str | None, mode: IpMode, expected: str | None) -> None:
    assert kept(ip, mode) == expected


def test_a_hashed_address_counts_visitors_of_one_email_and_joins_no_two_emails() -> None:
    first = kept("203.0.113.77", "hashed")
    assert first == kept("203.0.113.77", "hashed")
    assert first is not None
    assert first != kept("203.0.113.78", "hashed")
    assert first != kept("203.0.113.77", "hashed", OTHER)
    assert first != kept("203.0.113.77", "hashed", key=b"o" * 32)


def test_user_agents_are_cut_at_512_characters_and_hold_no_control_characters() -> None:
    assert kept_user_agent("a" * 600) == "a" * 512
    assert kept_user_agent("a\x00b\r\nc") == "a b  c"
    assert kept_user_agent("") is None
    assert kept_user_agent(None) is None


@pytest.mark.parametrize(
    ("ip", "expected"), [("127.0.0.9", True), ("::1", True), ("10.0.0.1", False), (None, False), ("x", False)]
)
def test_loopback_is_told_from_the_rest(ip: str | None, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_loopback(ip) is expected
