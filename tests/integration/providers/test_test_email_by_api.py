"""The test email through providers that write the message themselves: what they are given, refuse, and hide."""

import asyncio
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common.relay.port import Trouble
from services.providers.accounts import check_provider
from tests.integration.providers.accounts import Account, Accounts
from tests.integration.providers.service import ADDRESS, Api, providers, scaleway, ses
from tests.support.aio import run

KEY = "good-secret-key"
NAME = 'Relay <1> & "Co"'
MAKES = [
    pytest.param(ses, "AWS SES", "eu-west-1", id="ses"),
    pytest.param(scaleway, "Scaleway", "fr-par", id="scaleway"),
]


def with_account(nats: NatsAddress, directory: Path, body: dict[str, Any], scenario: Any) -> None:
    async def main() -> None:
        account = Account(keys={KEY})
        async with providers(nats.url, directory, relays=Accounts(account), brand="Acme") as api:
            assert (await api("POST", "/api/email-providers?verify=false", body)).status == 201
            await scenario(api, account)
        assert account.open == 0, "every relay was closed"

    run(main())


async def check(api: Api) -> Any:
    answer = await api("POST", "/api/email-providers/1/test", {"from": "Sender <noreply@example.com>"})
    assert answer.status == 200, answer.body
    return answer.json


@pytest.mark.parametrize(("make", "label", "region"), MAKES)
def test_message_and_letter_say_the_same_and_the_providers_id_comes_back(
    clean_nats: NatsAddress, tmp_path: Path, make: Any, label: str, region: str
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        answer = await check(api)
        assert answer == {"success": True, "sent_to": ADDRESS, "provider_message_id": "copy-0", "error": None}
        (submission,) = account.sent
        assert (submission.sender, submission.recipients) == ("noreply@example.com", (ADDRESS,))
        letter = submission.letter
        assert letter is not None
        subject = f"[Acme] Email provider test — {NAME}"
        assert letter.subject == subject
        assert (letter.sender.address, letter.sender.name) == ("noreply@example.com", "Sender")
        assert [mailbox.address for mailbox in letter.to] == [ADDRESS]
        html, text = letter.html or "", letter.text or ""
        assert "Relay &lt;1&gt; &amp; &quot;Co&quot;" in html
        assert NAME in text
        for part in (html, text):
            assert label in part
            assert region in part
        message = email.message_from_bytes(submission.message, _class=EmailMessage, policy=email.policy.default)
        assert message["Subject"] == subject
        whole = message.get_body(("html",))
        assert whole is not None
        assert whole.get_content().replace("\r\n", "\n").strip() == html.strip()

    with_account(clean_nats, tmp_path, make(name=NAME), scenario)


def test_an_unverified_sender_is_an_outcome_in_the_providers_words(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        account.refusal = f"Email address is not verified.\r\n\x07 {KEY} " + "x" * 5_000
        answer = await check(api)
        assert (answer["success"], answer["provider_message_id"]) == (False, None)
        assert answer["error"].startswith("Email address is not verified.")
        assert answer["error"].isprintable()
        assert "***" in answer["error"]
        assert len(answer["error"]) <= 1_000
        shown = (await api("GET", "/api/email-providers/1")).json["last_test"]
        assert (shown["success"], shown["error"]) == (False, answer["error"])
        assert KEY.encode() not in (await api.facts("mail.provider.1"))[-1].encode()

    with_account(clean_nats, tmp_path, ses(), scenario)


def test_wrong_credentials_are_an_outcome_too_and_are_not_repeated(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        account.trouble = Trouble("configuration", "denied: <key>", suggestion="Replace <key>, that is wrong-secret.")
        answer = await check(api)
        assert not answer["success"]
        assert answer["error"] == "denied: ***. Replace <key>, that is ***"
        fact = (await api.facts("mail.provider.1"))[-1]
        assert (fact.name, fact.data["error"]) == ("provider.tested", answer["error"])

    with_account(clean_nats, tmp_path, ses("wrong-secret"), scenario)


def test_settings_that_open_no_relay_are_an_outcome_and_recorded(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        accounts = Accounts(closed=[Trouble("configuration", "custom endpoints are not allowed here any more")])
        async with providers(clean_nats.url, tmp_path, relays=accounts) as api:
            await api("POST", "/api/email-providers?verify=false", ses())
            answer = await check(api)
            assert (answer["success"], answer["error"]) == (False, "custom endpoints are not allowed here any more")
            assert (await api.names("mail.provider.1"))[-1] == "provider.tested"

    run(main())


def test_an_inactive_provider_is_tried_and_a_silent_one_given_up(
    clean_nats: NatsAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_provider, "_SECONDS", 0.5)

    async def scenario(api: Api, account: Account) -> None:
        assert (await check(api))["success"]
        account.held = asyncio.Event()
        answer = await check(api)
        assert not answer["success"]
        assert answer["error"] == "no answer within 0.5 seconds: the email may have been sent, or not"

    with_account(clean_nats, tmp_path, scaleway(is_active=False), scenario)
