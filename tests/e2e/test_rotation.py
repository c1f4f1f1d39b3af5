"""Keys are rotated by the real command while mail goes on: nothing fails, is put off or stopped; afterwards one key."""

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from deploy.local.ports import free_port
from libs.common.jetstream.bus import Bus
from libs.common.vault.keyring import read_key_ring
from libs.common.vault.rotation import keys_in_use
from tests.e2e.client import Api, until
from tests.e2e.load import Load
from tests.e2e.stack import Stack, running

LOGIN = {"username": "mailer@shop.example", "password": secrets.token_urlsafe(18)}
DOMAIN = "shop.example"
RATE = 20.0
# A relay on loopback that wants a log-in and offers no TLS is what this is about.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")]
RINGS = ("keyring.json", "gateway-keyring.json")


class LoginRelay:
    """A relay that takes mail of logged-in clients alone; counts log-ins and messages. Thread-safe."""

    def __init__(self) -> None:
        self.port = free_port()
        self.logins = 0
        self.refused = 0
        self.taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def authenticate(  # the arguments are those of aiosmtpd's hook
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        right = (data.login.decode(), data.password.decode()) == (LOGIN["username"], LOGIN["password"])
        with self._lock:
            self.logins += right
            self.refused += not right
        return AuthResult(success=right)

    def wait_for_more_than(self, logins: int) -> None:
        until(lambda: self.logins, lambda now: now > logins, seconds=15, what="log-ins")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - a hook
        with self._lock:
            self.taken.update(envelope.rcpt_tos)
        return "250 2.0.0 taken"


@contextlib.contextmanager
def login_relay() -> Iterator[LoginRelay]:
    relay = LoginRelay()
    controller = Controller(
        relay,
        hostname="127.0.0.1",
        port=relay.port,
        authenticator=relay.authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield relay
    finally:
        controller.stop()


class Reconnecting(threading.Thread):
    """Changes the provider again and again, so that its relay is opened anew and its credentials are decrypted anew.

    `opened_under` are the keys that the credentials were under before and after such an opening.
    """

    def __init__(self, nats: str, api: Api, provider_id: int, relay: LoginRelay) -> None:
        super().__init__(daemon=True)
        self._nats, self._api, self._path, self._relay = nats, api, f"/api/email-providers/{provider_id}", relay
        self._enough = threading.Event()
        self.opened_under: Counter[str] = Counter()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            connections = 3
            while not self._enough.wait(0.2):
                before, connections = in_use(self._nats, "provider"), 5 - connections
                logins = self._relay.logins
                answer = self._api.request("PATCH", self._path, {"max_connections": connections})
                assert answer.status == 200, answer.body
                self._relay.wait_for_more_than(logins)
                if before == in_use(self._nats, "provider") and len(before) == 1:
                    self.opened_under.update(before.keys())
        except BaseException as error:  # noqa: BLE001 - told by whoever stops it
            self.failure = error

    def wait_for(self, key: str) -> None:
        """Until it has been opened under that key."""
        until(lambda: self.opened_under[key] or self.failure, bool, seconds=20, what=f"openings under {key}")

    def stop(self) -> None:
        self._enough.set()
        self.join(30)
        if self.failure is not None:
            raise self.failure


def in_use(nats: str, kind: str) -> Counter[str]:
    """How many secrets are under which key."""

    async def ask() -> Counter[str]:
        bus = Bus(nats, name="test")
        await bus.start()
        try:
            assert await bus.wait_connected(5)
            return await keys_in_use(bus, kind)
        finally:
            await bus.close()

    return asyncio.run(ask())


def rotate(home: Path) -> str:
    """The command as an operator gives it; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local", "rotate-keys"],
        env={**os.environ, "TEMPS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def keys(home: Path) -> list[tuple[str, list[str]]]:
    rings = [read_key_ring(home / "secrets" / name) for name in RINGS]
    return [(ring.active, sorted(ring.keys)) for ring in rings]


def log_in(stack: Stack, api: Api) -> int:
    password = (stack.home / "admin-password").read_text().strip()
    body = {"email": "admin@temps.localhost", "password": password}
    return api.request("POST", "/api/session", body, headers={"Authorization": ""}).status


def send_one(api: Api, **members: Any) -> None:
    body = {"from": f"a@{DOMAIN}", "to": "late@example.com", "subject": "Late", "text": "Late", **members}
    email = api.post("/api/emails", body)
    until(lambda: api.get(f"/api/emails/{email['id']}")["status"], lambda status: status == "sent", seconds=20)


@pytest.mark.timeout(240)
def test_keys_are_rotated_twice_under_load_and_nobody_notices(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with login_relay() as relay:
        with running(home) as stack, Api(stack.url, stack.key) as api:
            block = {"host": "127.0.0.1", "port": relay.port, "encryption": "none", **LOGIN}
            made = api.post(
                "/api/email-providers", {"name": "Relay", "provider_type": "smtp", "smtp_credentials": block}
            )
            api.post("/api/email-domains", {"provider_id": made["id"], "domain": DOMAIN})
            facts_before = api.get(f"/api/email-providers/{made['id']}")
            assert keys(home) == [("k1", ["k1"])] * 2
            reconnecting = Reconnecting(stack.nats_url, api, made["id"], relay)
            with Load(api, rate=RATE, sender=f"load@{DOMAIN}", most=1_500) as load:
                reconnecting.start()
                load.wait_accepted(20)
                reconnecting.wait_for("k1")
                for key in ("k2", "k3"):
                    said = rotate(home)
                    assert f"the new key is {key}" in said
                    assert keys(home) == [(key, [key])] * 2
                    reconnecting.wait_for(key)
                    assert log_in(stack, api) == 204
                load.wait_accepted(20)
                reconnecting.stop()  # it needs mail to see its log-ins
            assert (load.silent, load.unknown, load.refused) == (0, [], Counter())
            assert len(load.accepted) > 8 * RATE
            until(
                lambda: api.get("/api/emails", tag=load.run, status="sent")["total"],
                lambda sent: sent == len(load.accepted),
                seconds=60,
                what="sent emails",
            )
            emails = list(api.pages("/api/emails", tag=load.run))
            assert {(each["status"], each["attempts"], each["error_message"]) for each in emails} == {("sent", 1, None)}
            assert set(relay.taken.values()) == {1}
            assert relay.taken.total() == len(load.accepted)
            assert relay.refused == 0
            provider = api.get(f"/api/email-providers/{made['id']}")
            assert {**provider, "max_connections": 0, "updated_at": ""} == {
                **facts_before,
                "max_connections": 0,
                "updated_at": "",
            }
            assert (in_use(stack.nats_url, "provider"), in_use(stack.nats_url, "user")) == (
                Counter(k3=1),
                Counter(k3=1),
            )
            for part, state in stack.parts().items():
                assert state["restarts"] == 0, part
            logins = relay.logins
        with running(home) as stack, Api(stack.url, stack.key) as api:
            send_one(api)
            assert relay.logins > logins
            assert log_in(stack, api) == 204


@pytest.mark.timeout(200)
def test_a_rotation_begun_while_it_was_stopped_and_interrupted_while_it_ran_is_finished(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with login_relay() as relay:
        with running(home) as stack, Api(stack.url, stack.key) as api:
            block = {"host": "127.0.0.1", "port": relay.port, "encryption": "none", **LOGIN}
            api.post("/api/email-providers", {"name": "Relay", "provider_type": "smtp", "smtp_credentials": block})
        assert "at the next start" in rotate(home)
        assert keys(home) == [("k2", ["k1", "k2"])] * 2
        with running(home) as stack, Api(stack.url, stack.key) as api:
            until(lambda: in_use(stack.nats_url, "provider"), lambda found: found == Counter(k2=1), seconds=20)
            until(lambda: in_use(stack.nats_url, "user"), lambda found: found == Counter(k2=1), seconds=20)
            assert log_in(stack, api) == 204
            command = subprocess.Popen(
                [sys.executable, "-m", "deploy.local", "rotate-keys"],
                env={**os.environ, "TEMPS_HOME": str(home)},
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.kill("providers")
            command.kill()
            command.wait()
            stack.ready()
            assert "only k2 is left" in rotate(home)
            assert keys(home) == [("k2", ["k2"])] * 2
            send_one(api)
            assert log_in(stack, api) == 204
