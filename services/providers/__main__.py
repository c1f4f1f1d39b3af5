"""The providers service: providers, their encrypted credentials, sending domains (`python -m services.providers`)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from libs.common.errors import UnavailableError
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.views import View
from libs.common.relay.opening import surroundings
from libs.common.settings import load
from libs.common.vault.keyring import RingFile
from libs.common.vault.rotation import keep_resealed
from libs.common.vault.store import PROVIDER
from libs.common.web import ASGIApp, Service, background, create_app, run
from libs.common.web.principal import read_key
from services.providers.accounts.api import provider_routes
from services.providers.accounts.credential_store import StoredSecrets
from services.providers.accounts.test_message import compose
from services.providers.ports import Registry, Relays
from services.providers.relays import OpenRelays
from services.providers.sending_domains.api import domain_routes
from services.providers.sending_domains.dns import Dns
from services.providers.settings import ProvidersSettings
from services.providers.states_fold import known_domains, known_providers, known_users

log = logging.getLogger("services.providers")

_CLEAN_EVERY = 600.0
_PAUSE = 1.0


def main() -> None:
    """Serve until told to stop."""
    run(load(ProvidersSettings), open_service)


@asynccontextmanager
async def open_service(settings: ProvidersSettings, *, relays: Relays | None = None) -> AsyncIterator[ASGIApp]:
    """Everything this process is made of, from the bottom up. `relays`: others than those that the settings lead to."""
    bus = Bus(settings.nats_url, name="providers")
    ring = RingFile(settings.keyring_file)
    secrets = StoredSecrets(bus, ring)
    providers, domains, users = known_providers(), known_domains(), known_users()
    views = {
        "provider": View(bus, set_name="provider", apply=providers.apply, reset=providers.reset),
        "domain": View(bus, set_name="domain", apply=domains.apply, reset=domains.reset),
        "user": View(bus, set_name="user", apply=users.apply, reset=users.reset),
    }
    registry = Registry(
        bus=bus,
        provider_view=views["provider"],
        domain_view=views["domain"],
        user_view=views["user"],
        providers=providers,
        domains=domains,
        users=users,
        secrets=secrets,
        relays=relays or OpenRelays(surroundings(settings)),
        look_up=Dns(settings.dns_resolver),
        compose=compose,
        inbox=settings.local_inbox_smtp,
        custom_endpoints=settings.allow_custom_endpoints,
        brand=settings.brand,
        now=lambda: datetime.now(UTC),
    )
    checked = asyncio.Event()

    def waiting_for() -> list[str]:
        behind = [name for name, view in views.items() if not view.caught_up.is_set()]
        return behind if behind or checked.is_set() else ["secrets"]

    service = Service(
        name="providers",
        routers=[provider_routes(), domain_routes()],
        principal_key=read_key(settings.principal_key_file),
        views=views,
        waiting_for=waiting_for,
        degraded=lambda: [] if bus.connected else ["nats"],
        state={"registry": registry},
    )
    await bus.start()
    try:
        async with background(
            *(view.run() for view in views.values()),
            _keep_secrets(registry, secrets, checked),
            _rotate(bus, ring, checked),
        ):
            yield create_app(service)
    finally:
        await bus.close()


async def _keep_secrets(registry: Registry, secrets: StoredSecrets, checked: asyncio.Event) -> None:
    """The canary once, then the clean-up again and again. Raises `SecretsError`, which ends the process."""
    await registry.provider_view.caught_up.wait()
    while not checked.is_set():
        try:
            await secrets.check(registry.providers.live.values())
        except UnavailableError:
            await asyncio.sleep(_PAUSE)
        else:
            checked.set()
    while True:
        try:
            if await registry.provider_view.refresh():
                await secrets.clean(registry.providers)
        except BusError as error:
            log.warning("secrets are not cleaned up now: %s", error)
        await asyncio.sleep(_CLEAN_EVERY)


async def _rotate(bus: Bus, ring: RingFile, checked: asyncio.Event) -> None:
    """Re-encrypt secrets after key changes, once the key ring has been checked."""
    await checked.wait()
    await keep_resealed(bus, ring, PROVIDER)


if __name__ == "__main__":
    main()
