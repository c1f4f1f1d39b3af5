"""The sender's two sides inside a test, on a real NATS: accept emails, run workers, read what the log says."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from libs.common.facts import Actor, Envelope, Fact, new_envelope
from libs.common.facts.domain import DomainCreated, DomainState
from libs.common.facts.provider import ProviderCreated, ProviderDeleted, ProviderState, ProviderUpdated, SmtpEndpoint
from libs.common.jetstream.append import append, publish_durably
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.email_log import facts_of
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import secret_subject
from libs.common.jetstream.views import View
from libs.common.vault.keyring import KeyRing
from libs.common.web import background
from services.sender.__main__ import make_worker
from services.sender.accept.accept_email import AcceptDeps, Accepted, accept_email
from services.sender.accept.body import read_send_body
from services.sender.accept.directory import ViewedDirectory
from services.sender.accept.log_space import LogSpace
from services.sender.cluster.membership import Timing
from services.sender.deliver.work import RetryAt
from services.sender.deliver.worker import Worker
from services.sender.domains_fold import Domains
from services.sender.providers_fold import Providers
from services.sender.settings import WorkerSettings

ACTOR = Actor(id="test", kind="system")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def provider_state(identifier: int, port: int, **changes: Any) -> ProviderState:
    """An SMTP provider on this machine."""
    state = {
        "id": identifier,
        "name": f"Relay {identifier}",
        "provider_type": "smtp",
        "region": "custom",
        "is_active": True,
        "is_default": False,
        "is_local_inbox": False,
        "max_connections": 4,
        "rate_limit_per_second": None,
        "fallback_provider_ids": [],
        "smtp": SmtpEndpoint(host="127.0.0.1", port=port, encryption="none", accept_invalid_certs=False),
        "credentials": {},
        "credential_version": None,
        "last_test": None,
        "stopped": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return ProviderState.model_validate({**state, **changes})


def domain_state(identifier: int, provider_id: int, name: str, *, status: str = "verified") -> DomainState:
    """A sending domain."""
    return DomainState.model_validate(
        {
            "id": identifier,
            "provider_id": provider_id,
            "domain": name,
            "status": status,
            "dns_records": [],
            "last_verified_at": NOW,
            "verification_error": None,
            "created_at": NOW,
            "updated_at": NOW,
        }
    )


@dataclass(slots=True)
class Sending:
    """One log with the HTTP side's views on it. Make it with `sending`."""

    bus: Bus
    url: str
    monitor_url: str | None
    directory: Path
    ring: KeyRing
    accept: AcceptDeps
    provider_view: View
    workers: list["RunningWorker"] = field(default_factory=list)

    async def provider(self, identifier: int, port: int, **changes: Any) -> ProviderState:
        """Create a provider, and its domain `p<id>.example`."""
        state = provider_state(identifier, port, **changes)
        await self.fact(ProviderCreated(provider=state))
        await self.fact(DomainCreated(domain=domain_state(identifier, identifier, f"p{identifier}.example")))
        return state

    async def update(self, state: ProviderState, **changes: Any) -> ProviderState:
        """Change a provider."""
        changed = ProviderState.model_validate({**state.model_dump(), **changes})
        await self.fact(ProviderUpdated(provider=changed, changed_fields=list(changes)))
        return changed

    async def delete(self, state: ProviderState) -> None:
        """Delete a provider."""
        await self.fact(ProviderDeleted(provider=state, forced=True))

    async def fact(self, fact: Fact) -> Envelope:
        """Append any fact."""
        return await append(self.bus, new_envelope(fact, source="test", actor=ACTOR, at=datetime.now(UTC)))

    async def secret(self, provider_id: int, version: str, username: str, password: str) -> None:
        """Store a provider's credentials, as the providers service does."""
        plain = orjson.dumps({"username": username, "password": password})
        sealed = self.ring.encrypt(plain, bound_to=f"provider/{provider_id}")
        await publish_durably(self.bus, secret_subject("provider", provider_id, version), sealed, msg_id=version)

    async def send(
        self, provider_id: int = 1, to: Any = "ada@example.com", *, sender: str | None = None, **members: Any
    ) -> Accepted:
        """Accept an email for that provider's domain, or from that sender."""
        body = {
            "from": sender or f"hello@p{provider_id}.example",
            "to": to,
            "subject": "Hello",
            "text": "Good morning.",
            **members,
        }
        command = read_send_body(orjson.dumps(body))
        return await accept_email(self.accept, command, actor=ACTOR, request_id="test")

    async def facts(self, email_id: UUID) -> list[Envelope]:
        """All that the log says of an email."""
        return await facts_of(self.bus, email_id)

    async def until(self, email_id: UUID, done: Callable[[list[str]], bool], *, seconds: float = 20) -> list[Envelope]:
        """The email's facts as soon as `done` says yes to their names; fails after `seconds`."""
        facts: list[Envelope] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    with contextlib.suppress(BusError):  # NATS may be what the test takes away
                        facts = await self.facts(email_id)
                    if done(names(facts)):
                        return facts
                    await asyncio.sleep(0.03)
        raise AssertionError(f"after {seconds} s only {names(facts)}")

    async def until_last(self, email_id: UUID, name: str, *, seconds: float = 20) -> list[Envelope]:
        """The email's facts as soon as the last one has that name."""
        return await self.until(email_id, lambda found: found[-1:] == [name], seconds=seconds)

    async def drained(self, *, seconds: float = 20) -> None:
        """Wait until the queue is empty: everything has been acknowledged."""
        async with asyncio.timeout(seconds):
            while (await self.bus.stream_state("MAIL_QUEUE")).messages:
                await asyncio.sleep(0.03)

    async def start_worker(
        self,
        *,
        ack_wait: float = 3.0,
        retry_at: RetryAt | None = None,
        timing: Timing | None = None,
        **settings: Any,
    ) -> "RunningWorker":
        """A worker of this log, in this process, with a connection of its own; it retries soon."""
        running = RunningWorker(self, settings, ack_wait, retry_at or soon, timing)
        await running.start()
        self.workers.append(running)
        return running


class RunningWorker:
    """A delivering side that a test can stop well or lose."""

    def __init__(
        self,
        sending: Sending,
        settings: dict[str, Any],
        ack_wait: float,
        retry_at: RetryAt,
        timing: Timing | None,
    ) -> None:
        self._options: dict[str, Any] = {"ack_wait": ack_wait, "retry_at": retry_at, "timing": timing}
        self._sending = sending
        key_file = sending.directory / "keyring"
        key_file.write_bytes(
            orjson.dumps(
                {
                    "active": sending.ring.active,
                    "keys": {name: base64.b64encode(key).decode() for name, key in sending.ring.keys.items()},
                }
            )
        )
        self._settings = WorkerSettings.model_validate(
            {
                "nats_url": sending.url,
                "nats_monitor_url": sending.monitor_url,
                "principal_key_file": key_file,
                "keyring_file": key_file,
                "internal_port": 0,
                **settings,
            }
        )
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.bus: Bus
        self.worker: Worker

    async def start(self) -> None:
        self.bus = Bus(self._settings.nats_url, name="test-worker")
        space = LogSpace(self.bus)
        self.worker = make_worker(self._settings, self.bus, space, **self._options)
        await self.bus.start()
        self._task = asyncio.create_task(self._run(space))
        ready = asyncio.create_task(self.worker.ready.wait())
        await asyncio.wait([ready, self._task], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():  # it refused to start
            await self.bus.close()
            self._task.result()
        assert self.worker.ready.is_set()

    async def _run(self, space: LogSpace) -> None:
        worker, in_flight = self.worker, self.worker.feeding.in_flight
        async with background(space.run(), worker.view.run(), in_flight.tick(), in_flight.keep(), worker.run()):
            await self._stop.wait()

    async def stop(self) -> None:
        """As on SIGTERM."""
        self._stop.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self.bus.close()

    async def lose(self) -> None:
        """As on SIGKILL: nothing is acknowledged, handed back or said any more."""
        if self._task is None:
            return
        await self.bus.close()
        self.worker.drain_seconds = 0.0
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None


def soon(*, accepted_at: datetime, attempt: int, now: datetime, email_id: UUID) -> datetime | None:
    """Retries that a test can wait for; given up after the fourth attempt."""
    del accepted_at, email_id
    return now + timedelta(seconds=0.2) if attempt < 4 else None


def names(facts: list[Envelope]) -> list[str]:
    """`sent` for `email.sent.v1`."""
    return [fact.name.removeprefix("email.") for fact in facts]


@asynccontextmanager
async def sending(url: str, monitor_url: str | None, directory: Path) -> AsyncIterator[Sending]:
    """Streams made, the HTTP side's views running; workers are stopped at the end."""
    bus = Bus(url, name="test")
    await bus.start()
    assert await bus.wait_connected(10)
    await bootstrap(bus)
    providers, domains = Providers(), Domains()
    provider_view = View(bus, set_name="provider", apply=providers.apply, reset=providers.reset)
    domain_view = View(bus, set_name="domain", apply=domains.apply, reset=domains.reset)
    accept = AcceptDeps(
        bus=bus,
        directory=ViewedDirectory(providers.living, domains.by_name, (provider_view, domain_view)),
        log_is_full=lambda: False,
        public_url="http://track.example",
        retention=timedelta(days=45),
    )
    ring = KeyRing("k1", {"k1": os.urandom(32)})
    world = Sending(bus, url, monitor_url, directory, ring, accept, provider_view)
    try:
        async with background(provider_view.run(), domain_view.run()):
            await provider_view.caught_up.wait()
            await domain_view.caught_up.wait()
            try:
                yield world
            finally:
                for worker in world.workers:
                    await worker.stop()
    finally:
        await bus.close()


__all__ = ["ACTOR", "RunningWorker", "Sending", "domain_state", "names", "provider_state", "sending"]
