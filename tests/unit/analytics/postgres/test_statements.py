"""Named SQL in files."""

from pathlib import Path

import pytest

from services.analytics.postgres import load_statements


def _file(folder: Path, text: str) -> Path:
    path = folder / "x.sql"
    path.write_text(text)
    return path


def test_each_section_is_found_under_its_name_and_what_stands_above_is_comment(tmp_path: Path) -> None:
    path = _file(
        tmp_path, "Why this is here.\n\n-- name: first\nSELECT 1;\n-- more\nSELECT 2;\n\n-- name: second_2\nSELECT 3\n"
    )
    assert dict(load_statements(path)) == {"first": "SELECT 1;\n-- more\nSELECT 2;", "second_2": "SELECT 3"}


@pytest.mark.parametrize(
    "text", ["-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n", "-- name: a\n\n-- name: b\nSELECT 2\n"]
)
def test_a_name_given_twice_and_an_empty_section_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="statement a"):
        load_statements(_file(tmp_path, text))
