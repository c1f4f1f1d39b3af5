"""The machine around it has no say: no AWS_* variable, profile, credential file, metadata service or proxy."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from libs.common.facts.provider import ProviderState
from libs.common.relay.opening import Patience, Surroundings, open_relay
from libs.common.relay.port import Trouble
from libs.common.relay.ses.relay import SesRelay
from tests.integration.relay.ses_common import BOB, outcomes, relay_for, submission
from tests.support.ses import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, SesServer
from tests.support.ses_account import Known

ROOT = Path(__file__).resolve().parents[3]

# Sends one message and says what came of it, in a process whose environment is the test's.
SENDING = """
import asyncio, json, sys
from tests.integration.relay.ses_common import settings, submission
from libs.common.relay.ses.relay import open_ses_relay

async def main():
    relay = open_ses_relay(settings(sys.argv[1]))
    result = await relay.send(submission("bob@b.example"))
    await relay.close()
    print(json.dumps([repr(result.trouble), [reply.outcome for reply in result.recipients]]))

asyncio.run(main())
"""


async def test_the_environment_and_the_home_directory_have_no_influence(tmp_path: Path) -> None:
    trap_hits: list[str] = []

    async def trap(request: web.Request) -> web.Response:
        trap_hits.append(f"{request.method} {request.path}")
        return web.Response(status=500)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", trap)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    trapped = f"http://127.0.0.1:{runner.addresses[0][1]}"
    aws = tmp_path / ".aws"
    (aws / "models" / "sesv2" / "2019-09-27").mkdir(parents=True)
    (aws / "models" / "sesv2" / "2019-09-27" / "service-2.json").write_text("{}")
    profile = (
        f"region = us-east-1\nendpoint_url = {trapped}\nretry_mode = adaptive\nmax_attempts = 9\nca_bundle = /nowhere\n"
    )
    (aws / "config").write_text(f"[default]\n{profile}[profile other]\n{profile}")
    (aws / "credentials").write_text("[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "AWS_PROFILE": "other",
        "AWS_ACCESS_KEY_ID": "AKIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": trapped,
        "AWS_ENDPOINT_URL_SESV2": trapped,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": trapped,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": trapped,
        "AWS_DEFAULTS_MODE": "auto",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_RETRY_MODE": "adaptive",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_EXECUTION_ENV": "spoken-of",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_DATA_PATH": str(aws / "models"),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), trapped),
    }
    async with SesServer() as ses:
        ses.account.identities["shop.example"] = Known("SUCCESS")
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-W", "error::ResourceWarning", "-c", SENDING, ses.url],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == ["None", ["accepted"]], done.stderr
        [request] = ses.requests
    await runner.cleanup()
    assert trap_hits == []
    authorization = request.headers["Authorization"]
    assert f"Credential={ACCESS_KEY_ID}/" in authorization
    assert f"/{REGION}/ses/" in authorization
    assert not any("other" in value or "spoken-of" in value for value in request.headers.values())
    assert "X-Amz-Security-Token" not in request.headers


async def test_opening_the_first_client_does_not_hold_the_loop() -> None:
    """In a fresh process, where nothing of it has been imported yet."""
    script = """
import asyncio, sys, time
from pydantic import SecretStr
from libs.common.relay.ses.relay import SesSettings, open_ses_relay

async def main():
    relay = open_ses_relay(SesSettings("AKIA", SecretStr("x"), "eu-west-1", "http://127.0.0.1:1"))
    worst, last = 0.0, time.perf_counter()
    asking = asyncio.create_task(relay.check_credentials())
    while not asking.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        worst, last = max(worst, now - last), now
    await relay.close()
    assert "aioboto3" in sys.modules
    print(worst)

assert not {"aiohttp", "botocore", "aioboto3"} & set(sys.modules)
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # 0.45 s of imports and parsing, were they in the loop; a busy machine may double what is left of it.
    assert float(done.stdout) < 0.3


async def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(f"{target.url}{request.path}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with SesServer() as target:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with relay_for(target, endpoint_url=url) as relay:
            result = await relay.send(submission(BOB))
        assert target.requests == []
    await runner.cleanup()
    assert result.trouble is not None
    assert result.trouble.kind == "configuration"


# ------------------------------------------------------------------------------------------------- from what is stored


SECRET = {"access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY}
CUSTOM = Surroundings(allow_custom_endpoints=True)


def provider(region: str = REGION) -> ProviderState:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    return ProviderState(
        id=7, name="SES", provider_type="ses", region=region, is_active=True, is_default=False, is_local_inbox=False,
        max_connections=3, rate_limit_per_second=None, fallback_provider_ids=[], smtp=None, credentials={},
        credential_version="1", last_test=None, stopped=None, created_at=at, updated_at=at,
    )  # fmt: skip


async def test_what_is_stored_opens_a_relay_that_sends() -> None:
    async with SesServer() as ses:
        ses.account.identities["shop.example"] = Known("SUCCESS")
        relay = open_relay(provider(), {**SECRET, "endpoint_url": ses.url}, CUSTOM, connections=2)
        assert isinstance(relay, SesRelay)
        assert relay.settings.max_connections == 2
        assert outcomes(await relay.send(submission(BOB))) == {BOB: "accepted"}
        await relay.close()


def test_an_endpoint_that_the_operator_no_longer_allows_is_not_used() -> None:
    trouble = open_relay(provider(), {**SECRET, "endpoint_url": "http://127.0.0.1:1"}, Surroundings(), connections=1)
    assert isinstance(trouble, Trouble)
    assert trouble.kind == "configuration"
    assert "TEMPS_ALLOW_CUSTOM_ENDPOINTS" in (trouble.suggestion or "")


@pytest.mark.parametrize(("region", "endpoint"), [("", None), (REGION, "https://user:pass@a.example")])
def test_what_cannot_be_opened_is_configuration_trouble(region: str, endpoint: str | None) -> None:
    secret = SECRET if endpoint is None else {**SECRET, "endpoint_url": endpoint}
    trouble = open_relay(provider(region), secret, CUSTOM, connections=1)
    assert isinstance(trouble, Trouble)
    assert trouble.kind == "configuration"
    assert "pass" not in trouble.text


@pytest.mark.parametrize(("patience", "seconds"), [("patient", (5, 30)), ("brisk", (5, 15)), ("hurried", (3, 6))])
async def test_patience_is_how_long_is_waited(patience: Patience, seconds: tuple[float, float]) -> None:
    relay = open_relay(provider(), SECRET, Surroundings(), connections=1, patience=patience)
    assert isinstance(relay, SesRelay)
    assert (relay.settings.connect_timeout, relay.settings.read_timeout) == seconds
