"""The search itself: it must find what it is to find, or its silence says nothing."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.support.canaries import Canaries, found_in, found_in_files, needles

FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "JSON": lambda text: json.dumps({"a": text}).encode(),
    "percent": lambda text: quote(text, safe="").encode(),
    "form": lambda text: quote_plus(text).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "AUTH PLAIN": lambda text: base64.b64encode(f"\0someone\0{text}".encode()),
    "AUTH PLAIN of another length": lambda text: base64.b64encode(f"\0someone@x\0{text}".encode()),
    "AUTH PLAIN of a third length": lambda text: base64.b64encode(f"\0some\0{text}\0".encode()),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"?" + text.encode()),
    "hex": lambda text: text.encode().hex().encode(),
    "its first half": lambda text: text[: len(text) // 2].encode(),
    "its second half": lambda text: text[len(text) // 2 :].encode(),
    "repr": lambda text: repr([text]).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["text", "key", "user"])
def test_a_canary_is_found_in_every_form(form: str, kind: str, tmp_path: Path) -> None:
    canaries = Canaries()
    data = b"\0before " + FORMS[form](getattr(canaries, kind)("smtp-1")) + b" after\n"
    assert found_in(data, canaries.needles)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 5_000 + data)
    assert list(found_in_files(tmp_path, canaries.needles, but=frozenset()))
    assert not list(found_in_files(tmp_path, canaries.needles, but=frozenset({tmp_path / "deep"})))


@pytest.mark.parametrize("form", [form for form in FORMS if "half" not in form])
def test_a_secret_of_any_length_is_found_in_every_form(form: str) -> None:
    for length in range(10, 16):
        secret = "tk_4dZ-1YB_xQ9a7"[:length]
        assert found_in(b"..." + FORMS[form](secret) + b"...", needles(secret, "key")), length


def test_another_runs_canaries_are_none_of_this_one() -> None:
    canaries, other = Canaries(), Canaries()
    assert not found_in(other.text("a").encode() + other.key("b").encode(), canaries.needles)
