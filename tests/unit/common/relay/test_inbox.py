"""Which provider is the bundled inbox."""

import pytest

from libs.common.relay.inbox import is_local_inbox


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST.", "::1", "[::1]", "127.0.0.5", "::ffff:127.0.0.1"]
)
@pytest.mark.parametrize("inbox", ["127.0.0.1:1025", "localhost:1025", "[::1]:1025"])
def test_every_loopback_name_is_the_same_machine(host: str, inbox: str) -> None:
    assert is_local_inbox(host, 1025, inbox)


@pytest.mark.parametrize(
    ("host", "port", "inbox"),
    [
        ("localhost", 1026, "127.0.0.1:1025"),
        ("smtp.example.com", 1025, "127.0.0.1:1025"),
        ("localhost", 1025, None),
        ("localhost", 1025, ""),
        ("localhost", 1025, "inbox:1025"),
        ("localhost.example.com", 1025, "localhost:1025"),
    ],
)
def test_another_host_or_port_is_no_inbox(host: str, port: int, inbox: str | None) -> None:
    assert not is_local_inbox(host, port, inbox)


def test_an_inbox_elsewhere_is_told_by_its_name_whatever_the_case() -> None:
    assert is_local_inbox("Inbox.Internal", 25, "inbox.internal:25")
