"""Secrets as they are stored in MAIL_SECRETS, one encrypted message for each version, and the canary at start.

Providers' credentials are held by the provider and sender services, users' password hashes by the gateway. All three
start by one rule: see `check_ring`.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

import orjson

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import SECRETS, secret_subject
from libs.common.vault.keyring import RingFile, SecretsError, UnknownKeyError

log = logging.getLogger(__name__)

PROVIDER, USER = "provider", "user"
"""Whose a secret is."""


async def read_stored(bus: Bus, ring: RingFile, kind: str, owner: int, version: str) -> bytes | None:
    """The secret in the clear; None when it is not in the store.

    Raises BusError, UnknownKeyError (its key has not arrived in the ring yet) and any other SecretsError (it will never
    be readable).
    """
    stored = await bus.direct_last(SECRETS, secret_subject(kind, owner, version))
    return None if stored is None else ring.decrypt(stored.data, bound_to=f"{kind}/{owner}")


async def read_credentials(bus: Bus, ring: RingFile, provider_id: int, version: str) -> Mapping[str, str] | None:
    """A provider's credentials by name; None when they are not in the store. Raises as `read_stored`."""
    plain = await read_stored(bus, ring, PROVIDER, provider_id, version)
    if plain is None:
        return None
    try:
        secret: Mapping[str, str] = orjson.loads(plain)
    except orjson.JSONDecodeError:
        raise SecretsError("they are not in the form this version knows") from None
    return secret


async def check_ring(
    kind: str,
    named: Iterable[tuple[int, str | None]],
    read: Callable[[int, str], Awaitable[object | None]],
    *,
    encrypts: bool,
) -> None:
    """The canary at start: is this the ring that what is stored was encrypted with? Raises `SecretsError` if it is not.

    `named`: owner and version of each secret that the facts name. `read` is given both, and raises as `read_stored`.

    One that is readable proves the ring. A secret that is lost or damaged is then its owner's trouble alone, and is
    logged: somebody has to give it anew, by a service that has to run for that. Where none is readable, one that does
    not decrypt under its own key ends the start. So does a key that the ring lacks, for a service that `encrypts`: what
    it stores would be readable by nobody else. A service that only reads waits for that key, because a mounted ring
    arrives late on some machine.
    """
    readable = 0
    wrong: str | None = None
    for owner, version in tuple(named):  # a view changes while its secrets are read
        if version is None:
            continue
        try:
            found = await read(owner, version)
        except UnknownKeyError as error:
            log.warning("%s %d waits for its key: %s", kind, owner, error)
            if encrypts:
                wrong = wrong or _is_another(kind, owner, error)
        except SecretsError as error:
            log.error("%s %d: %s", kind, owner, error)  # noqa: TRY400 - the text says it all
            wrong = wrong or _is_another(kind, owner, error)
        else:
            if found is None:
                log.error("the secret of %s %d is not stored any more: give it anew", kind, owner)
            else:
                readable += 1
    if wrong is not None and not readable:
        log.critical("%s. Start with the right TEMPS_KEYRING_FILE.", wrong)
        raise SecretsError(wrong)


def _is_another(kind: str, owner: int, error: SecretsError) -> str:
    return f"{error}: the key ring is not the one that {kind} {owner} was stored with"
