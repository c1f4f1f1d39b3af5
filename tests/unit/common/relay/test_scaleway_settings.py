"""No setting of a Scaleway provider leads a request elsewhere, and the relay is opened with the right patience."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from yarl import URL

from libs.common.facts.provider import ProviderState
from libs.common.relay.opening import Patience, Surroundings, open_relay
from libs.common.relay.port import Trouble
from libs.common.relay.scaleway.relay import ScalewayRelay
from libs.common.relay.scaleway.settings import ScalewaySettings, is_id

KEY, PROJECT = "11111111-2222-3333-4444-555555555555", "6170692e-7363-616c-6577-61792e636f6d"
HOSTILE = (
    "", ".", "..", "fr-par/../../iam", "fr-par/x", "fr%2Dpar", "fr-par?x=1", "fr-par#x", "fr-par@evil.example",
    "fr par", "fr-par\r\nHost: evil", "fr-par\n", "\\evil", "//evil.example", "é", "fr-par\x00", "a" * 200,
)  # fmt: skip


def settings(**changes: Any) -> ScalewaySettings:
    given_: dict[str, Any] = {"api_key": SecretStr(KEY), "project_id": PROJECT, "region": "fr-par", **changes}
    return ScalewaySettings(**given_)


def provider(region: str = "fr-par") -> ProviderState:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return ProviderState(
        id=1, name="n", provider_type="scaleway", region=region, is_active=True, is_default=False,
        is_local_inbox=False, max_connections=10, rate_limit_per_second=None, fallback_provider_ids=[], smtp=None,
        credentials={}, credential_version="v", last_test=None, stopped=None, created_at=at, updated_at=at,
    )  # fmt: skip


def opened(region: str = "fr-par", patience: Patience = "patient", **secret: str) -> object:
    given_ = {"api_key": KEY, "project_id": PROJECT, **secret}
    return open_relay(provider(region), given_, Surroundings(), connections=4, patience=patience)


@pytest.mark.parametrize("region", ["fr-par", "nl-ams", "pl-waw", "it-mil"])
def test_scaleways_regions_are_accepted(region: str) -> None:
    base = f"https://api.scaleway.com/transactional-email/v1alpha1/regions/{region}"
    assert settings(region=region).base_url == base


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_would_change_a_url_is_refused(hostile: str) -> None:
    with pytest.raises(ValueError, match="the region is none"):
        settings(region=hostile)
    with pytest.raises(ValueError, match="the project id is not one"):
        settings(project_id=hostile)
    assert not is_id(hostile)


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_accepted_stays_one_segment_of_the_path(region: str, identifier: str) -> None:
    try:
        base = settings(region=region).base_url
    except ValueError:
        base = settings().base_url
    url = URL(f"{base}/domains/{identifier}/revoke") if is_id(identifier) else URL(base)
    assert url.host == "api.scaleway.com"
    assert url.parts[:4] == ("/", "transactional-email", "v1alpha1", "regions")
    assert len(url.parts) in {5, 8}


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX-Evil: 1", "é", "a" * 300])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="the API key is empty or holds") as refused:
        settings(api_key=SecretStr(key))
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.scaleway.com",
        "ftp://api.scaleway.com",
        "https://",
        "https://user:x@host",
        "https://host?x=",
        "http://[::",
    ],
)
def test_an_api_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"API's URL|IPv6"):
        settings(api_url=url)


def test_a_slash_at_its_end_changes_nothing() -> None:
    assert settings(api_url="http://127.0.0.1:80/").base_url == settings(api_url="http://127.0.0.1:80").base_url


def test_the_key_is_shown_nowhere() -> None:
    assert KEY not in f"{settings()!r} {settings()} {opened()!r} {opened()}"


def test_a_provider_whose_settings_cannot_be_used_is_configuration_trouble() -> None:
    for trouble in (opened("fr-par/../.."), opened(project_id="a/b"), opened(api_key="")):
        assert isinstance(trouble, Trouble)
        assert trouble.kind == "configuration"
        assert trouble.text[0].isupper()


@pytest.mark.parametrize(
    ("patience", "connect", "read"),
    [("patient", 5, 30), ("brisk", 5, 15), ("hurried", 3, 6)],
    ids=str,
)
def test_patience_is_for_connecting_and_for_the_answer(patience: Patience, connect: float, read: float) -> None:
    relay = opened(patience=patience)
    assert isinstance(relay, ScalewayRelay)
    assert (relay.settings.connect_timeout, relay.settings.read_timeout) == (connect, read)
    assert relay.settings.max_connections == 4


def test_installations_without_scaleway_never_load_aiohttp() -> None:
    code = "import sys, libs.common.relay.opening; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
