"""The test email's words and markup."""

from datetime import UTC, datetime
from html.parser import HTMLParser

from services.providers.accounts.test_message_rules import provider_test_email
from tests.unit.providers.samples import provider

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_subject_is_exact() -> None:
    email = provider_test_email(provider(1, name="Relay <1> & Co"), brand="Temps", at=AT)
    assert email.subject == "[Temps] Email provider test — Relay <1> & Co"
    assert provider_test_email(provider(1), brand="Acme", at=AT).subject.startswith("[Acme] Email provider test — ")


def test_both_parts_tell_name_type_region_and_time() -> None:
    email = provider_test_email(
        provider(1, name="Relay", region="eu-west-1", provider_type="ses"), brand="Temps", at=AT
    )
    page = Words()
    page.feed(email.html)
    for part in (email.text, page.text):
        for word in ("Relay", "AWS SES", "eu-west-1", "2026-03-04 05:06:07 UTC", "Temps"):
            assert word in part


def test_what_callers_chose_is_escaped() -> None:
    email = provider_test_email(provider(1, name='<script>alert("1")</script>', region="<b>&"), brand="<i>Brand", at=AT)
    page = Words()
    page.feed(email.html)
    assert not {"script", "b", "i"} & {tag for tag, _ in page.tags}
    assert '<script>alert("1")</script>' in page.text
    assert "<b>&" in page.text


def test_it_is_a_600_pixel_table_in_a_table_with_inline_styles_only() -> None:
    page = Words()
    page.feed(provider_test_email(provider(1), brand="Temps", at=AT).html)
    assert any(tag == "table" and attributes.get("width") == "600" for tag, attributes in page.tags)
    assert sum(tag == "table" for tag, _ in page.tags) >= 4
    assert not {"style", "link", "div", "img"} & {tag for tag, _ in page.tags}
