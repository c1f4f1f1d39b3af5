import pytest

from services.gateway.proxy.position_rules import Positions
from services.gateway.proxy.request_rules import forwarded, returned, sane_request_id


def test_what_is_about_the_connection_or_ours_to_say_does_not_go_on() -> None:
    dropped = [
        (b"host", b"x"),
        (b"connection", b"keep-alive"),
        (b"keep-alive", b"5"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"proxy-authorization", b"x"),
        (b"proxy-connection", b"x"),
        (b"authorization", b"Bearer x"),
        (b"cookie", b"temps_session=x"),
        (b"content-length", b"3"),
        (b"expect", b"100-continue"),
        (b"forwarded", b"for=1.2.3.4"),
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"x-forwarded-proto", b"https"),
        (b"x-real-ip", b"1.2.3.4"),
        (b"x-request-id", b"a"),
        (b"temps-principal", b"forged"),
        (b"temps-position", b"key=1"),
        (b"temps-anything", b"x"),
    ]
    kept = [(b"content-type", b"application/json"), (b"traceparent", b"00-1"), (b"idempotency-key", b"k")]
    assert forwarded(dropped + kept, b"keep-alive") == [
        b"content-type: application/json\r\n",
        b"traceparent: 00-1\r\n",
        b"idempotency-key: k\r\n",
    ]


def test_headers_that_connection_names_stay_behind() -> None:
    headers = [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-c", b"3")]
    assert forwarded(headers, b"close, X-A,x-b") == [b"x-c: 3\r\n"]


def test_services_do_not_show_callers_what_is_between_them_and_the_gateway() -> None:
    headers = [(b"temps-position", b"key=1"), (b"server", b"x"), (b"date", b"x"), (b"connection", b"close")]
    headers += [(b"transfer-encoding", b"chunked"), (b"x-request-id", b"a")]
    kept = [(b"location", b"https://x"), (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"retry-after", b"1")]
    assert returned(headers + kept) == kept


@pytest.mark.parametrize("value", [b"a", b"A-1._z", b"x" * 128])
def test_sane_request_ids_are_taken(value: bytes) -> None:
    assert sane_request_id(value) == value


@pytest.mark.parametrize("value", [None, b"", b"x" * 129, b"a b", b"a\n", b"{}", b"\xc3\xbc", b"a:b"])
def test_others_are_not(value: bytes | None) -> None:
    assert sane_request_id(value) is None


def test_positions_only_ever_grow() -> None:
    positions = Positions()
    for value in (b"key=5", b"key=3,email=7", b"key=9, email=7", b"key=8"):
        positions.learn(value)
    assert positions.highest == {"key": 9, "email": 7}
    assert positions.header == b"key=9,email=7"


@pytest.mark.parametrize("value", [b"", b"=", b"key=", b"=3", b"key=-1", b"key=x", b"key", b"key=\xb2"])
def test_malformed_positions_are_skipped(value: bytes) -> None:
    positions = Positions()
    positions.learn(value)
    assert positions.header == b""
