"""The gateway: the only public door (`python -m services.gateway`)."""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from libs.common import apikey
from libs.common.errors import TempsError, UnavailableError
from libs.common.facts import Actor, Envelope, Fact, new_envelope
from libs.common.jetstream.append import append_to_set
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.views import View
from libs.common.settings import load
from libs.common.vault.keyring import RingFile
from libs.common.vault.rotation import keep_resealed
from libs.common.vault.store import USER
from libs.common.web import ASGIApp, Service, background, create_app, run, serve_also
from libs.common.web.principal import read_key
from services.gateway.auth.authenticate import Authenticator
from services.gateway.auth.first_steps import FirstSteps
from services.gateway.auth.freshness import FreshView
from services.gateway.auth.keys_api import key_routes
from services.gateway.auth.keys_fold import Keys
from services.gateway.auth.login import Login
from services.gateway.auth.password_hashes import PasswordHashes
from services.gateway.auth.passwords import Passwords
from services.gateway.auth.session_api import session_routes
from services.gateway.auth.users_api import user_routes
from services.gateway.auth.users_fold import Users
from services.gateway.context import Deps
from services.gateway.docs_pages.merged_document import MergedDocument
from services.gateway.docs_pages.pages import own_document, pages
from services.gateway.proxy.edge import Gateway
from services.gateway.proxy.proxy import Proxy
from services.gateway.proxy.rate_limit_rules import RateLimit
from services.gateway.proxy.route_rules import RouteTable
from services.gateway.proxy.upstream import Upstream
from services.gateway.proxy.wire import GuardedProtocol
from services.gateway.settings import GatewaySettings

log = logging.getLogger("services.gateway")

VERSION = "0.1.0"
_SYSTEM = Actor(id="gateway", kind="system")
_PAUSE = 1.0


def main() -> None:
    """Serve until told to stop."""
    settings = load(GatewaySettings)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:  # a door has many callers, and each is a file
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # uvicorn warns of every request that is no HTTP: anybody could fill the disk with that.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    run(settings, open_service, protocol=GuardedProtocol)


@asynccontextmanager
async def open_service(settings: GatewaySettings) -> AsyncIterator[ASGIApp]:
    """Everything this process is made of, from the bottom up."""
    bus = Bus(settings.nats_url, name="gateway")
    keys, users = Keys(), Users()
    key_view = View(bus, set_name="key", apply=keys.apply, reset=keys.reset)
    user_view = View(bus, set_name="user", apply=users.apply, reset=users.reset)
    passwords = Passwords()
    ring = RingFile(settings.keyring_file)
    hashes = PasswordHashes(bus, ring)
    session_key = read_key(settings.session_key_file)
    authenticator = Authenticator(
        keys=keys,
        users=users,
        key_view=FreshView(key_view),
        user_view=FreshView(user_view),
        principal_key=read_key(settings.principal_key_file),
        session_key=session_key,
    )
    deps = Deps(
        bus=bus,
        keys=keys,
        users=users,
        key_view=key_view,
        user_view=user_view,
        login=Login(users, passwords, hashes),
        revoked=authenticator.revoked,
        session_key=session_key,
        is_secure=settings.public_url.startswith("https:"),
    )
    first_steps = FirstSteps(
        email=settings.admin_email,
        password=_content(settings.bootstrap_password_file),
        key=_first_key(settings.bootstrap_key_file),
        users=users,
        keys=keys,
        passwords=passwords,
        store_hash=hashes.store,
        write_user=lambda decide: _write(bus, user_view, decide),
        write_key=lambda decide: _write(bus, key_view, decide),
    )
    begun = asyncio.Event()

    def waiting_for() -> list[str]:
        behind = [view.set_name for view in (key_view, user_view) if not view.caught_up.is_set()]
        return behind if behind or begun.is_set() else ["first steps"]

    own = create_app(
        Service(
            name="gateway",
            routers=[key_routes(), user_routes(), session_routes()],
            principal_key=authenticator.principal_key,
            views={"key": key_view, "user": user_view},
            waiting_for=waiting_for,
            degraded=lambda: [] if bus.connected else ["nats"],
            state={"deps": deps},
            version=VERSION,
        )
    )
    services = _services(settings)
    document = MergedDocument(services, own=lambda: own_document(own), title=f"{settings.brand} API", version=VERSION)
    gateway = Gateway(
        table=RouteTable(frozenset(services)),
        services=services,
        proxy=Proxy(answer_timeout=settings.upstream_timeout, body_timeout=settings.body_timeout),
        authenticator=authenticator,
        own=own,
        pages=pages(document, brand=settings.brand),
        document=document,
        public_url=settings.public_url,
        trusted_proxies=settings.trusted_proxies,
        rate_limit=RateLimit(settings.rate_limit_per_second) if settings.rate_limit_per_second else None,
    )
    tasks = [key_view.run(), user_view.run(), _begin(first_steps, key_view, user_view, begun)]
    checked = asyncio.Event()
    tasks.append(_check(hashes, users, user_view, checked))
    tasks.append(document.watch())
    tasks.append(_rotate(bus, ring, checked))
    if settings.internal_port:
        tasks.append(serve_also(own, host=settings.http_host, port=settings.internal_port))
    await bus.start()
    # A view that starts before the connection waits for its next poll: a NATS that is there is worth a moment.
    await bus.wait_connected(0.5)
    try:
        async with background(*tasks):
            yield gateway
    finally:
        for service in services.values():
            service.close()
        passwords.close()
        await bus.close()


def _services(settings: GatewaySettings) -> Mapping[str, Upstream]:
    urls = {
        "providers": settings.providers_url,
        "sender": settings.sender_url,
        "tracking": settings.tracking_url,
        "analytics": settings.analytics_url,
        "inbox": settings.local_inbox_url,
    }
    return {name: Upstream(name, url) for name, url in urls.items() if url}


async def _check(hashes: PasswordHashes, users: Users, user_view: View, checked: asyncio.Event) -> None:
    """The canary, once. Raises `SecretsError`, which ends the process."""
    await user_view.caught_up.wait()
    while not checked.is_set():
        try:
            await hashes.check(users.all())
        except UnavailableError:
            await asyncio.sleep(_PAUSE)
        else:
            checked.set()


async def _rotate(bus: Bus, ring: RingFile, checked: asyncio.Event) -> None:
    """Re-encrypt secrets after key changes, once the key ring has been checked."""
    await checked.wait()
    await keep_resealed(bus, ring, USER)


async def _begin(steps: FirstSteps, key_view: View, user_view: View, begun: asyncio.Event) -> None:
    """The first user and key; tried again for as long as the log does not take them."""
    await key_view.caught_up.wait()
    await user_view.caught_up.wait()
    while not begun.is_set():
        try:
            await steps.take()
        except (TempsError, BusError) as error:
            log.warning("the first user and key are not written yet: %s", error)
            await asyncio.sleep(_PAUSE)
        else:
            begun.set()


async def _write(bus: Bus, view: View, decide: Callable[[], Fact | None]) -> None:
    def envelope() -> Envelope:
        fact = decide()
        if fact is None:
            raise _NothingToDo
        return new_envelope(fact, source="gateway", actor=_SYSTEM, at=datetime.now(UTC))

    try:
        await append_to_set(bus, view, envelope)
    except _NothingToDo:
        return


class _NothingToDo(Exception):
    pass


def _content(file: Path | None) -> str | None:
    return None if file is None else file.read_text("utf-8").strip()


def _first_key(file: Path | None) -> str | None:
    key = _content(file)
    if key is not None and not apikey.is_well_formed(key):
        raise SystemExit(f"{file} does not hold an API key (tk_…)")
    return key


if __name__ == "__main__":
    main()
