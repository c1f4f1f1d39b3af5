"""The test email through real SMTP conversations: what arrives, what the relay refuses, what is recorded."""

import asyncio
import email
import email.policy
import socket
from contextlib import closing
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from deploy.local.servers import NatsAddress
from libs.common.facts import Actor, new_envelope, parse
from libs.common.facts.provider import ProviderFact, ProviderStopped, Stopped
from libs.common.jetstream.append import append
from libs.common.relay.smtp.dial import FLOOR
from tests.integration.providers.service import ADDRESS, Api, fields, providers
from tests.support.aio import run
from tests.support.relay import Act, ScriptedRelay, hang, say

LOGIN = {"username": "postmaster@example.com", "password": "s3cret-pässword"}


def with_relay(nats: NatsAddress, directory: Path, relay: ScriptedRelay, scenario: Any, **credentials: Any) -> None:
    async def main() -> None:
        async with relay, providers(nats.url, directory) as api:
            block = {"host": "127.0.0.1", "port": relay.port, "encryption": "none"}
            await api.made(name="Relay <1>", credentials=block | credentials)
            await scenario(api)

    run(main())


async def check(api: Api, provider: int = 1, /, **body: str) -> Any:
    return await api("POST", f"/api/email-providers/{provider}/test", {"from": "Sender <noreply@example.com>"} | body)


async def stop(api: Api) -> None:
    """What the sender says when it finds the credentials at fault."""
    last = (await api.facts("mail.provider.1"))[-1]
    fact = cast("ProviderFact", parse(last))
    at = datetime.now(UTC)
    state = fact.provider.model_copy(update={"stopped": Stopped(reason="535 no", at=at)})
    stopped = new_envelope(ProviderStopped(provider=state), source="sender", actor=Actor(id="s", kind="system"), at=at)
    stored = await append(api.bus, stopped)
    assert (await api("GET", "/api/email-providers/1", headers={"temps-position": f"provider={stored.sequence}"})).json[
        "stopped"
    ]["reason"] == "535 no"


def test_the_test_email_reaches_whoever_asks(clean_nats: NatsAddress, tmp_path: Path) -> None:
    relay = ScriptedRelay(login=(LOGIN["username"], LOGIN["password"]))

    async def scenario(api: Api) -> None:
        answer = await check(api, from_name="Grüße, Inc.")
        (received,) = relay.messages
        assert answer.status == 200
        assert answer.json == {
            "success": True,
            "sent_to": ADDRESS,
            "provider_message_id": received_message(received.raw)["Message-ID"],
            "error": None,
        }
        assert (received.mail_from, received.recipients) == ("noreply@example.com", (ADDRESS,))
        message = received_message(received.raw)
        assert message["Subject"] == "[Temps] Email provider test — Relay <1>"
        assert message["From"].addresses[0].display_name == "Grüße, Inc."
        assert message["To"] == ADDRESS
        html, text = message.get_body(("html",)), message.get_body(("plain",))
        assert html is not None
        assert text is not None
        assert "Relay &lt;1&gt;" in html.get_content()
        assert "/track/" not in html.get_content()
        assert "Relay <1>" in text.get_content()
        shown = (await api("GET", "/api/email-providers/1")).json["last_test"]
        assert (shown["success"], shown["error"]) == (True, None)
        tested = (await api.facts("mail.provider.1"))[-1]
        assert answer.headers["temps-position"] == f"provider={tested.sequence}"
        assert (tested.name, tested.data["recipient_email"], tested.data["success"]) == (
            "provider.tested",
            ADDRESS,
            True,
        )
        for secret in LOGIN.values():
            assert secret.encode() not in tested.encode()

    with_relay(clean_nats, tmp_path, relay, scenario, **LOGIN)


def received_message(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, _class=EmailMessage, policy=email.policy.default)


def test_what_the_relay_refuses_is_said_and_recorded(clean_nats: NatsAddress, tmp_path: Path) -> None:
    relay = ScriptedRelay({"MAIL": say("550 5.7.1 not from\x07here")})

    async def scenario(api: Api) -> None:
        answer = await check(api)
        assert answer.status == 200
        assert (answer.json["success"], answer.json["provider_message_id"]) == (False, None)
        assert answer.json["error"] == "550 5.7.1 not from here"
        assert (await api("GET", "/api/email-providers/1")).json["last_test"]["error"] == answer.json["error"]

    with_relay(clean_nats, tmp_path, relay, scenario)


def test_wrong_credentials_are_told_without_repeating_them(clean_nats: NatsAddress, tmp_path: Path) -> None:
    relay = ScriptedRelay({"AUTH": say(f"535 5.7.8 {LOGIN['password']} is wrong")}, login=("somebody", "else"))

    async def scenario(api: Api) -> None:
        answer = await check(api)
        assert not answer.json["success"]
        assert answer.json["error"].startswith("535 5.7.8")
        assert LOGIN["password"] not in answer.body.decode()

    with_relay(clean_nats, tmp_path, relay, scenario, **LOGIN)


def test_nothing_listening_on_localhost_comes_with_a_suggestion(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        with closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            async with providers(clean_nats.url, tmp_path) as api:
                await api.made(credentials={"host": "localhost", "port": taken.getsockname()[1]})
                answer = await check(api)
                assert (answer.status, answer.json["success"]) == (200, False)
                assert "cannot be connected to" in answer.json["error"]
                assert "container" in answer.json["error"]

    run(main())


def test_a_refused_address_and_a_closed_port_get_the_same_answer_after_the_same_time(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def main() -> None:
        with closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            places = (
                ("127.0.0.1", taken.getsockname()[1]),  # closed
                ("127.0.0.1", urlsplit(clean_nats.url).port),  # ours
                ("169.254.169.254", 80),
                ("no-such-host.invalid", 25),
            )
            answers, times = set(), []
            async with providers(clean_nats.url, tmp_path) as api:
                for number, (host, port) in enumerate(places, start=1):
                    await api.made(name=f"Relay {number}", credentials={"host": host, "port": port})
                    took = []
                    for _ in range(2):  # the shorter counts: a busy machine only adds to one
                        begun = asyncio.get_running_loop().time()
                        answer = await check(api, number)
                        took.append(asyncio.get_running_loop().time() - begun)
                        assert not answer.json["success"]
                        answers.add(answer.json["error"].replace(f"{host}:{port}", "there"))
                    times.append(min(took))
        assert len(answers) == 1, answers
        assert next(iter(answers)).startswith("there cannot be connected to")
        assert min(times) >= FLOOR
        assert max(times[:3]) - min(times[:3]) < 0.3

    run(main())


def test_a_silent_relay_is_given_ten_seconds(clean_nats: NatsAddress, tmp_path: Path) -> None:
    relay = ScriptedRelay({"connect": hang()})

    async def scenario(api: Api) -> None:
        begun = asyncio.get_running_loop().time()
        answer = await check(api)
        assert asyncio.get_running_loop().time() - begun < 10
        assert (answer.status, answer.json["success"]) == (200, False)
        assert "in time" in answer.json["error"]

    with_relay(clean_nats, tmp_path, relay, scenario)


def test_an_inactive_provider_can_be_tested_and_a_success_lets_a_stopped_one_go_on(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    relay = ScriptedRelay({"MAIL": [say("451 4.3.0 later")]})

    async def scenario(api: Api) -> None:
        await api("PATCH", "/api/email-providers/1", {"is_active": False})
        await stop(api)
        assert not (await check(api)).json["success"]
        assert (await api("GET", "/api/email-providers/1")).json["stopped"] is not None
        answer = await check(api)
        assert answer.json["success"]
        assert (await api("GET", "/api/email-providers/1")).json["stopped"] is None
        names = await api.names("mail.provider.1")
        assert names[-4:] == ["provider.stopped", "provider.tested", "provider.tested", "provider.resumed"]
        last = (await api.facts("mail.provider.1"))[-1]
        assert answer.headers["temps-position"] == f"provider={last.sequence}"

    with_relay(clean_nats, tmp_path, relay, scenario)


def test_changed_credentials_let_a_stopped_provider_go_on_and_a_rename_does_not(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api) -> None:
        await stop(api)
        assert (await api("PATCH", "/api/email-providers/1", {"name": "Other"})).json["stopped"] is not None
        mended = await api("PATCH", "/api/email-providers/1", {"smtp_credentials": LOGIN})
        assert mended.json["stopped"] is None
        assert (await api.names("mail.provider.1"))[-2:] == ["provider.updated", "provider.resumed"]

    with_relay(clean_nats, tmp_path, ScriptedRelay(), scenario)


def test_a_test_needs_somebody_and_an_address(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        for sender in ("nobody", "a@b.example\r\nBcc: c@d.example", ""):
            answer = await check(api, **{"from": sender})
            assert (answer.status, fields(answer)) == (400, ["from"])
        assert fields(await check(api, from_name="a\r\nb")) == ["from_name"]
        nobody = await api("POST", "/api/email-providers/1/test", {"from": "a@b.example"}, user_id=None)
        assert nobody.status == 409
        assert (await api("POST", "/api/email-providers/2/test", {"from": "a@b.example"})).status == 404
        assert await api.names("mail.provider.1") == ["provider.created"]

    with_relay(clean_nats, tmp_path, ScriptedRelay(), scenario)


def test_a_provider_deleted_during_its_test_leaves_nothing_to_record(clean_nats: NatsAddress, tmp_path: Path) -> None:
    relay = ScriptedRelay({"dot": Act(b"250 2.0.0 ok\r\n", delay=0.5)})

    async def scenario(api: Api) -> None:
        running = asyncio.create_task(check(api))
        await relay.reached("MAIL")
        assert (await api("DELETE", "/api/email-providers/1")).status == 204
        answer = await running
        assert answer.json["success"]
        assert await api.names("mail.provider.1") == ["provider.created", "provider.deleted"]

    with_relay(clean_nats, tmp_path, relay, scenario)
