"""The README's table of settings is the one that the models make."""

import pytest

from libs.common.known_settings import KNOWN, LOCAL, SERVICES, unknown_settings
from tests.contract.settings_table import MODELS, README, written


def test_readme_lists_every_setting_as_it_is() -> None:
    text = README.read_text("utf-8")
    assert written(text) == text, "run: .venv/bin/python -m tests.contract.settings_table"


def test_every_setting_of_a_model_is_known_and_no_other() -> None:
    fields = {name.upper() for model in MODELS.values() for name in model.model_fields}
    assert fields == SERVICES
    assert {"HOME", "PORT"} == LOCAL


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("TEMPS_PUBLIC_ULR", "TEMPS_PUBLIC_ULR is not a setting: did you mean TEMPS_PUBLIC_URL?"),
        ("TEMPS_TRUSTED_PROXY", "TEMPS_TRUSTED_PROXY is not a setting: did you mean TEMPS_TRUSTED_PROXIES?"),
        ("TEMPS_XYZZY_PLUGH_QQ", "TEMPS_XYZZY_PLUGH_QQ is not a setting"),
    ],
)
def test_a_mistyped_setting_is_named_with_the_nearest(name: str, sentence: str) -> None:
    assert unknown_settings([name, "PATH", "TEMPSX", *KNOWN]) == [sentence]
