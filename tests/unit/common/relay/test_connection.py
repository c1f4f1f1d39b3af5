"""Which changes of a provider are a fresh start."""

from typing import Any

import pytest

from libs.common.relay.connection import same_connection
from tests.support.sending import provider_state

SMTP = provider_state(1, 25)
SES = provider_state(1, 25, provider_type="ses", smtp=None, region="eu-west-1", credential_version="v1")


@pytest.mark.parametrize("change", [{"name": "other"}, {"max_connections": 1}, {"is_active": False}])
@pytest.mark.parametrize("provider", [SMTP, SES])
def test_other_settings_keep_the_connection(provider: Any, change: dict[str, Any]) -> None:
    assert same_connection(provider, provider.model_copy(update=change))


@pytest.mark.parametrize(
    "change",
    [
        {"credential_version": "v9"},
        {"helo_name": "mail.example.com"},
        {"smtp": SMTP.smtp.model_copy(update={"port": 26}) if SMTP.smtp else None},
    ],
)
def test_another_place_name_or_login_is_another_connection(change: dict[str, Any]) -> None:
    assert not same_connection(SMTP, SMTP.model_copy(update=change))


def test_a_region_counts_where_the_kind_has_any() -> None:
    assert not same_connection(SES, SES.model_copy(update={"region": "eu-west-3"}))
    assert same_connection(SMTP, SMTP.model_copy(update={"region": "elsewhere"}))
    newer = SES.model_copy(update={"provider_type": "pigeon"})
    assert not same_connection(newer, newer.model_copy(update={"region": "eu-west-3"}))
