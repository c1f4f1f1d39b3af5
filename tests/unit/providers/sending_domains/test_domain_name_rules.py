"""One form for each sending domain."""

import pytest

from services.providers.sending_domains.domain_name_rules import normalise


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("example.com", "example.com"),
        ("Mail.EXAMPLE.com", "mail.example.com"),
        (" example.com ", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("a.b.c.d.example", "a.b.c.d.example"),
        ("123.example", "123.example"),
    ],
)
def test_lower_case_and_idna(given: str, expected: str) -> None:
    assert normalise(given) == expected


@pytest.mark.parametrize(
    "given",
    ["", " ", "localhost", "example", ".example.com", "example..com", "example.com.", "-a.example", "a-.example",
     "a b.example", "a_b.example", "192.0.2.1", "[192.0.2.1]", "user@example.com", "https://example.com", "☃.example",
     "a" * 64 + ".example", ".".join(["a" * 60] * 5), "exam\u0000ple.com",
     "*.example.com", "example.com\u00a0", "\u3000example.com", "exam\u200bple.com"],
)  # fmt: skip
def test_what_is_no_domain_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        normalise(given)
