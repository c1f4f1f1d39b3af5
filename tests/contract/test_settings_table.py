"""The README's table of settings is the one that the models make."""

from tests.contract.settings_table import README, written


def test_readme_lists_every_setting_as_it_is() -> None:
    text = README.read_text("utf-8")
    assert written(text) == text, "run: .venv/bin/python -m tests.contract.settings_table"
