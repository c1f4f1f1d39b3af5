import pytest

from deploy.local.inbox.message import content, message_id_and_subject


@pytest.mark.parametrize(
    ("head", "subject"),
    [
        (b"Subject: Hello\r\n", "Hello"),
        (b"subject:Hello\r\n there\r\n", "Hello there"),
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n", "Grüße"),
        (b"Subject: =?utf-8?b?4pyT?= =?utf-8?b?4pyT?=\r\n", "✓✓"),
        (b"Subject: =?no-such-charset?q?x?=\r\n", "=?no-such-charset?q?x?="),
        ("Subject: Grüße\r\n".encode(), "Grüße"),
        (b"Subject: \xff\r\n", "\ufffd"),
        (b"Subject:\r\n", ""),
        (b"X-Subject: no\r\n", None),
    ],
)
def test_the_subject_is_read_from_the_headers_alone(head: bytes, subject: str | None) -> None:
    raw = b"From: a@example.com\r\n" + head + b"Message-ID: <1@x>\r\n\r\nSubject: not this\r\nMessage-ID: <2@x>\r\n"
    assert message_id_and_subject(raw) == ("<1@x>", subject)


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"no headers at all", b"\r\n\r\nSubject: body\r\n"])
def test_a_message_without_headers_has_neither(raw: bytes) -> None:
    assert message_id_and_subject(raw) == (None, None)


def test_both_texts_of_a_multipart_message_are_found_and_decoded() -> None:
    raw = (
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nReceived: one\r\nReceived: two\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"Gr=C3=BC=C3=9Fe\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nPHA+4pyTPC9wPg==\r\n--b--\r\n"
    )
    found = content(raw)
    assert (found.text, found.html) == ("Grüße", "<p>✓</p>")
    assert found.headers["Subject"] == "Grüße"
    assert found.headers["Received"] == "one\ntwo"


def test_an_unknown_charset_is_shown_byte_by_byte() -> None:
    found = content(b"Content-Type: text/plain; charset=klingon\r\n\r\ncaf\xe9\r\n")
    assert found.text == "café\r\n"
    assert found.html is None
