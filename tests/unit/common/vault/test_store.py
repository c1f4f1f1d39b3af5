"""The canary at start, row by row: what is stored, what it says of the ring, and who starts."""

import logging

import pytest

from libs.common.vault.keyring import SecretsError, UnknownKeyError
from libs.common.vault.store import check_ring

FINE, LOST = "readable", "lost"
DAMAGED = SecretsError("the secret of provider 7 does not decrypt")
UNKNOWN = UnknownKeyError("the secret of provider 7 is encrypted under a key that is not in the key ring")
ROWS = [
    # what is stored, does a service start that encrypts, and one that only reads
    ([], True, True),
    ([FINE], True, True),
    ([LOST], True, True),
    ([DAMAGED], False, False),
    ([UNKNOWN], False, True),
    ([FINE, DAMAGED], True, True),
    ([DAMAGED, FINE], True, True),
    ([FINE, UNKNOWN], True, True),
    ([LOST, DAMAGED], False, False),
    ([LOST, UNKNOWN], False, True),
    ([UNKNOWN, DAMAGED], False, False),
]


async def starts(stored: list[str | SecretsError], *, encrypts: bool) -> bool:
    async def read(owner: int, version: str) -> object | None:
        assert version == "v"
        found = stored[owner]
        if isinstance(found, SecretsError):
            raise found
        return None if found is LOST else found

    try:
        await check_ring("provider", [(number, "v") for number in range(len(stored))], read, encrypts=encrypts)
    except SecretsError:
        return False
    return True


@pytest.mark.parametrize(("stored", "encrypting", "reading"), ROWS)
async def test_who_starts_on_what_is_stored(
    stored: list[str | SecretsError],
    encrypting: bool,  # noqa: FBT001 - a row's
    reading: bool,  # noqa: FBT001 - a row's
) -> None:
    assert await starts(stored, encrypts=True) is encrypting
    assert await starts(stored, encrypts=False) is reading


async def test_an_owner_without_a_secret_is_not_asked_about() -> None:
    async def read(_owner: int, _version: str) -> object | None:
        raise AssertionError

    await check_ring("provider", [(1, None)], read, encrypts=True)


async def test_the_log_names_whose_secret_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not await starts([LOST, DAMAGED], encrypts=True)
    assert "the secret of provider 0 is not stored any more" in caplog.text
    assert "the key ring is not the one" in caplog.text
    assert "TEMPS_KEYRING_FILE" in caplog.text
