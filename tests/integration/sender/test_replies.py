"""The tables of docs/reliability.md: a relay plays the fault, a real worker delivers, the log says what came of it.

All rows are played at once, each by a relay and a provider of its own, on one log with one worker; then each is a test.
`pytest -s` shows the finished table.
"""

import asyncio
import logging
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from deploy.local.servers import NatsAddress
from libs.common.facts import Envelope
from libs.common.facts.provider import ProviderState, SmtpEndpoint
from libs.common.relay.smtp import opening
from libs.common.relay.smtp.relay import Timeouts
from services.sender.channel.provider_channel import ProviderChannel
from tests import backing
from tests.integration.sender.reply_rows import LOGIN, ROWS, Again, Provider, Row, Seen
from tests.support.certificates import self_signed
from tests.support.relay import ScriptedRelay
from tests.support.sending import RunningWorker, Sending, names, sending

# Silence is waited for this long, and no longer than what would open the circuit at once.
SILENCE = 3.0
SHORT = Timeouts(connect=5, banner=SILENCE, command=SILENCE, data=SILENCE, block=SILENCE, final_dot=SILENCE, quit=1)
# Long enough that the provider can be looked at between the attempts.
RETRY = timedelta(seconds=2)
PATIENCE = 30.0
NEXT = "next@example.com"


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a row's email. `texts`: the relay's words as the facts have them. `message_ids`: of every copy.

    `next_event`: the next email's.
    """

    seen: Seen
    texts: tuple[str, ...]
    message_ids: frozenset[str]
    next_event: str


class Warnings(logging.Handler):
    """What the log has at WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


@dataclass(frozen=True, slots=True)
class Table:
    """By the relay's words; a row that did not come to its end is the error that ended it."""

    played: dict[str, Played | BaseException]
    warnings: str


@pytest.fixture(scope="module")
async def table(nats_server: NatsAddress, tmp_path_factory: pytest.TempPathFactory) -> Table:
    await backing.delete_streams(nats_server.url)
    directory, heard = tmp_path_factory.mktemp("replies"), Warnings()
    logging.getLogger().addHandler(heard)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(opening.PATIENCE, "patient", SHORT)
            async with sending(nats_server.url, nats_server.monitor_url, directory) as world:
                worker = await world.start_worker(retry_at=later, ack_wait=PATIENCE)
                rows = (played(world, worker, number, row, directory) for number, row in enumerate(ROWS, start=1))
                ended = await asyncio.gather(*rows, return_exceptions=True)
    finally:
        logging.getLogger().removeHandler(heard)
    finished = Table({row.relay: played for row, played in zip(ROWS, ended, strict=True)}, heard.text)
    sys.stdout.write(markdown(finished))
    return finished


def later(*, accepted_at: datetime, attempt: int, now: datetime, email_id: UUID) -> datetime:
    del accepted_at, attempt, email_id
    return now + RETRY


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.table} {row.relay}")
async def test_what_a_relay_does_leads_to_what_the_table_says(table: Table, row: Row) -> None:
    played = table.played[row.relay]
    if isinstance(played, BaseException):
        raise played
    assert played.seen == row.seen
    # Copies have one Message-ID, so that a reader's mailbox may know them for what they are.
    assert len(played.message_ids) <= 1
    assert all(len(text) <= 512 and text.isprintable() for text in played.texts)
    assert row.warning is None or row.warning in table.warnings
    assert played.next_event == "sent", "whatever it was, the next email goes out"


async def played(world: Sending, worker: RunningWorker, number: int, row: Row, directory: Path) -> Played:
    """Play one row with a provider of its own: one email through the fault, and one more behind it."""
    encrypted = row.encryption == "starttls"
    relay = ScriptedRelay(
        row.script,
        tls="starttls" if encrypted else "none",
        certificate=self_signed(directory, "127.0.0.1") if encrypted else None,
        login=LOGIN if row.login else None,
    )
    async with asyncio.timeout(PATIENCE), relay:
        endpoint = SmtpEndpoint(
            host="127.0.0.1", port=relay.port, encryption=row.encryption, accept_invalid_certs=False
        )
        version = f"v{number}" if row.login else None
        if version is not None:
            await world.secret(number, version, *LOGIN)
        state = await world.provider(number, relay.port, smtp=endpoint, max_connections=1, credential_version=version)
        body = "é" * 1_000_000 if row.large else "Hello"
        email_id = (await world.send(number, list(row.to), html=body, text=body)).email_id
        first = (await world.until(email_id, lambda found: len(found) > 1, seconds=PATIENCE))[1]
        provider = await provider_after(worker, number, stops=first.data["reason"] == "configuration")
        if provider in {"stopped", "quota used up"}:
            await mended(world, relay, state, provider)
        facts = await settled(world, email_id)
        last = (await world.send(number, NEXT)).email_id
        next_facts = await world.until(last, lambda found: len(found) > 1, seconds=PATIENCE)
        copies = {address: sum(address in each.recipients for each in relay.messages) for address in row.to}
        own = [each.raw.decode() for each in relay.messages if NEXT not in each.recipients]
        seen = Seen(
            fact=names([first])[0],
            recipients={each["address"]: in_words(each) for each in first.data["recipients"]},
            reason=first.data["reason"],
            again=when_again(first),
            then=tuple(names(facts[2:])),
            provider=provider,
            kept=relay.sessions[0].verbs().count("MAIL") > 1,
            copies=copies,
        )
        texts = tuple(each["text"] for fact in facts[1:] for each in fact.data["recipients"])
        ids = frozenset(line for text in own for line in text.split("\r\n") if line.lower().startswith("message-id:"))
        return Played(seen, texts, ids, names(next_facts)[1])


async def provider_after(worker: RunningWorker, number: int, *, stops: bool) -> Provider:
    """What the worker thinks of the provider now, before the next attempt."""
    living, channel = worker.worker.providers.living, worker.worker.channels[number]
    assert isinstance(channel, ProviderChannel)
    while stops and living[number].stopped is None:
        await asyncio.sleep(0.02)
    if living[number].stopped is not None:
        return "stopped"
    if channel.state.breaker.used_up:
        return "quota used up"
    if channel.state.rate_limit.rate is not None:
        return "slowed down"
    return "circuit fed" if channel.state.breaker.failures else "runs"


async def mended(world: Sending, relay: ScriptedRelay, state: ProviderState, provider: Provider) -> None:
    """What its owner does; until then the mail waits."""
    assert relay.messages == []
    relay.script.clear()
    changes = {"stopped": None} if provider == "stopped" else {"max_connections": 2}
    await world.update(state, **changes)


async def settled(world: Sending, email_id: UUID) -> list[Envelope]:
    """The email's facts when nobody is owed another try."""
    while True:
        facts = await world.facts(email_id)
        if len(facts) > 1 and facts[-1].data["next_at"] is None:
            return facts
        await asyncio.sleep(0.05)


def when_again(fact: Envelope) -> Again:
    if fact.data["next_at"] is None:
        return "never"
    return "later" if datetime.fromisoformat(fact.data["next_at"]) > fact.at + RETRY / 2 else "at once"


def in_words(recipient: dict[str, object]) -> str:
    words = (recipient["outcome"], recipient["smtp_code"], recipient["enhanced_status"])
    return " ".join(str(word) for word in words if word is not None)


def markdown(table: Table) -> str:
    """The table as it was seen."""
    lines = ["", "| | the relay | recorded | done |", "|---|---|---|---|"]
    for row in ROWS:
        played = table.played[row.relay]
        if isinstance(played, BaseException):
            lines.append(f"| {row.table} | {row.relay} | {played!r} | |")
            continue
        seen = played.seen
        who = "; ".join(f"{address.partition('@')[0]} {words}" for address, words in seen.recipients.items())
        reason = f" ({seen.reason})" if seen.reason else ""
        again = f"again {seen.again}" + (f", then `{'`, `'.join(seen.then)}`" if seen.then else "")
        copies = ", ".join(f"{address.partition('@')[0]} {count}" for address, count in seen.copies.items())
        kept = "connection kept" if seen.kept else "connection dropped"
        done = f"{again}; provider {seen.provider}; {kept}; copies: {copies}"
        lines.append(f"| {row.table} | {row.relay} | `{seen.fact}`{reason}: {who} | {done} |")
    return "\n".join(lines) + "\n"
