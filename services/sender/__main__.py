"""The sender's two processes: `python -m services.sender` accepts, `python -m services.sender worker` delivers."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.views import View
from libs.common.relay.opening import surroundings
from libs.common.settings import load
from libs.common.vault.keyring import RingFile
from libs.common.web import ASGIApp, Service, Shortcut, background, create_app, run
from libs.common.web.principal import read_key
from services.sender.accept.accept_email import AcceptDeps
from services.sender.accept.api import emails, send_email
from services.sender.accept.body import SendEmail
from services.sender.accept.directory import ViewedDirectory
from services.sender.accept.log_space import LogSpace
from services.sender.channel.provider_channel import ProviderChannel
from services.sender.channel.relays import Relays
from services.sender.channel.send_gate import SendGate
from services.sender.cluster.membership import Membership, Timing
from services.sender.cluster.peers import AskingPeers
from services.sender.cluster.server_start import server_started_at
from services.sender.deliver.audit import Audit
from services.sender.deliver.email_store import JetStreamEmailStore
from services.sender.deliver.feeder import Feeding
from services.sender.deliver.in_flight import ACK_WAIT, InFlight
from services.sender.deliver.outcome_log import JetStreamOutcomeLog
from services.sender.deliver.recent_outcomes import RecentOutcomes
from services.sender.deliver.retry_rules import next_attempt_at
from services.sender.deliver.work import DeliverDeps, RetryAt
from services.sender.deliver.worker import Worker
from services.sender.domains_fold import Domains
from services.sender.providers_fold import Providers
from services.sender.settings import SenderSettings, WorkerSettings

MAX_REQUEST = 20 * 2**20


@asynccontextmanager
async def open_sender(settings: SenderSettings) -> AsyncIterator[ASGIApp]:
    """The HTTP side: two views, one route."""
    bus = Bus(settings.nats_url, name="sender")
    providers, domains, space = Providers(), Domains(), LogSpace(bus)
    views = {
        "provider": View(bus, set_name="provider", apply=providers.apply, reset=providers.reset),
        "domain": View(bus, set_name="domain", apply=domains.apply, reset=domains.reset),
    }
    accept = AcceptDeps(
        bus=bus,
        directory=ViewedDirectory(providers.living, domains.by_name, tuple(views.values())),
        log_is_full=space.full_for_accepting,
        public_url=settings.public_url,
        retention=timedelta(days=settings.content_retention_days) if settings.content_retention_days else None,
    )

    def waiting_for() -> list[str]:
        return [f"{name}s" for name, view in views.items() if not view.caught_up.is_set()]

    app = create_app(
        Service(
            name="sender",
            routers=[emails],
            principal_key=read_key(settings.principal_key_file),
            views=views,
            waiting_for=waiting_for,
            degraded=lambda: [] if bus.connected else ["nats"],
            state={"accept": accept},
            max_body=MAX_REQUEST,
            models=[SendEmail],
            shortcuts=[Shortcut("POST", "/api/emails", "emails:send", send_email)],
        )
    )
    await bus.start()
    try:
        async with background(space.run(), *(view.run() for view in views.values())):
            yield app
    finally:
        await bus.close()


def make_worker(
    settings: WorkerSettings,
    bus: Bus,
    space: LogSpace,
    *,
    retry_at: RetryAt = next_attempt_at,
    ack_wait: float = ACK_WAIT,
    timing: Timing | None = None,
) -> Worker:
    """The delivering side, wired; nothing runs yet."""
    providers, recent = Providers(), RecentOutcomes()
    channels: dict[int, ProviderChannel] = {}
    send_gate = SendGate(connected=lambda: bus.connected, log_is_full=space.full_for_sending)
    view = View(bus, set_name="provider", apply=providers.apply, reset=providers.reset)
    outcome_log = JetStreamOutcomeLog(bus, send_gate, recent, providers.living, view)
    relays = Relays(bus, RingFile(settings.keyring_file), surroundings(settings))
    membership, in_flight = (
        Membership(bus, timing or Timing(remember=ack_wait), name=settings.worker_name),
        InFlight(bus, send_gate, ack_wait=ack_wait),
    )
    in_flight.alone, recent.company_at = membership.alone, membership.company_until
    peers = AskingPeers(bus, in_flight, membership, outcome_log.find)
    deliver = DeliverDeps(
        outcome_log=outcome_log,
        email_store=JetStreamEmailStore(bus),
        providers=providers.living,
        deleted=providers.deleted,
        channels=channels,
        peers=peers,
        retry_at=retry_at,
    )
    feeding = Feeding(
        bus,
        send_gate,
        in_flight,
        deliver,
        started_at=lambda: server_started_at(settings.nats_monitor_url, replicas=settings.nats_replicas),
    )
    worker = Worker(
        feeding=feeding,
        providers=providers,
        view=view,
        recent=recent,
        outcome_log=outcome_log,
        channels=channels,
        open_relay=relays.open,
        check_ring=lambda: relays.check(providers.living.values()),
        membership=membership,
        peers=peers,
        local_inbox_connections=settings.local_inbox_connections,
        drain_seconds=settings.drain_seconds,
    )
    providers.changed = membership.changed = worker.provider_changed
    return worker


@asynccontextmanager
async def open_worker(settings: WorkerSettings) -> AsyncIterator[ASGIApp]:
    """The delivering side; its only HTTP is health and metrics."""
    bus = Bus(settings.nats_url, name="sender-worker")
    space = LogSpace(bus)
    worker = make_worker(settings, bus, space)
    app = create_app(
        Service(
            name="sender-worker",
            routers=[],
            principal_key=read_key(settings.principal_key_file),
            views={"provider": worker.view},
            waiting_for=lambda: [] if worker.ready.is_set() else ["providers"],
            degraded=worker.feeding.send_gate.why_closed,
        )
    )
    await bus.start()
    in_flight, audit = worker.feeding.in_flight, Audit(bus, worker.outcome_log)
    try:
        async with background(
            space.run(), worker.view.run(), in_flight.tick(), in_flight.keep(), worker.run(), audit.run()
        ):
            yield app
    finally:
        await bus.close()


def main() -> None:
    """Which of the two is the first argument's word."""
    match sys.argv[1:]:
        case []:
            run(load(SenderSettings), open_sender)
        case ["worker"]:
            settings = load(WorkerSettings)
            run(settings, open_worker, port=settings.internal_port)
        case _:
            print("usage: python -m services.sender [worker]", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
