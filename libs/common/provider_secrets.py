"""A provider's credentials as they are stored in MAIL_SECRETS: one encrypted message for each version of them."""

from collections.abc import Mapping

import orjson

from libs.common.bus import Bus
from libs.common.secrets import RingFile, SecretsError
from libs.common.streams import SECRETS, secret_subject

KIND = "provider"


async def read_secret(bus: Bus, ring: RingFile, provider_id: int, version: str) -> Mapping[str, str] | None:
    """The credentials by name, in the clear; None when they are not in the store.

    Raises BusError, UnknownKeyError (its key has not arrived in the ring yet) and any other SecretsError (it will never
    be readable).
    """
    stored = await bus.direct_last(SECRETS, secret_subject(KIND, provider_id, version))
    if stored is None:
        return None
    plain = ring.decrypt(stored.data, bound_to=f"{KIND}/{provider_id}")
    try:
        secret: Mapping[str, str] = orjson.loads(plain)
    except orjson.JSONDecodeError:
        raise SecretsError("they are not in the form this version knows") from None
    return secret
