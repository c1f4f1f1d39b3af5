"""Keys, key rings and principals: what is signed or sealed cannot be bent."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import apikey
from libs.common.vault import keyring as secrets
from libs.common.web import principal

RING = secrets.KeyRing("k2", {"k1": b"1" * 32, "k2": b"2" * 32})
KEY = b"k" * 32
CALLER = principal.Principal("key/1", "key", 1, frozenset({"emails:read"}), "127.0.0.1", "ü", 100.0)


@given(st.binary(max_size=200))
def test_what_is_sealed_is_opened(plaintext: bytes) -> None:
    assert RING.decrypt(RING.encrypt(plaintext, bound_to="provider/1"), bound_to="provider/1") == plaintext


def test_a_secret_belongs_to_one_owner() -> None:
    sealed = RING.encrypt(b"hunter2", bound_to="provider/1")
    with pytest.raises(secrets.SecretsError, match="provider/2 does not decrypt"):
        RING.decrypt(sealed, bound_to="provider/2")


def test_every_flipped_byte_is_noticed() -> None:
    sealed = RING.encrypt(b"hunter2", bound_to="provider/1")
    for index in range(len(sealed)):
        bent = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        with pytest.raises(secrets.SecretsError):
            RING.decrypt(bent, bound_to="provider/1")


def test_an_old_key_still_opens_and_a_removed_one_does_not() -> None:
    sealed = secrets.KeyRing("k1", {"k1": b"1" * 32}).encrypt(b"x", bound_to="p")
    assert RING.decrypt(sealed, bound_to="p") == b"x"
    with pytest.raises(secrets.SecretsError, match="not in the key ring"):
        secrets.KeyRing("k2", {"k2": b"2" * 32}).decrypt(sealed, bound_to="p")


def test_a_key_ring_shows_no_key() -> None:
    assert "1111" not in repr(RING)


def test_a_key_ring_file_is_checked(tmp_path: Path) -> None:
    def ring(active: str, **keys: bytes) -> Path:
        path = tmp_path / "ring"
        encoded = {name: base64.b64encode(value).decode() for name, value in keys.items()}
        path.write_text(json.dumps({"active": active, "keys": encoded}))
        return path

    assert secrets.read_key_ring(ring("a", a=b"x" * 32)).active == "a"
    for path in (ring("b", a=b"x" * 32), ring("a", a=b"x" * 31)):
        with pytest.raises(secrets.SecretsError):
            secrets.read_key_ring(path)


@given(st.integers(0, 60))
def test_a_mistyped_key_is_known_without_a_look_up(position: int) -> None:
    key = apikey.new_key()
    assert apikey.is_well_formed(key)
    other = "x" if key[position] != "x" else "y"
    assert not apikey.is_well_formed(key[:position] + other + key[position + 1 :])


def test_keys_differ_and_show_little() -> None:
    one, other = apikey.new_key(), apikey.new_key()
    assert one != other
    assert apikey.display_prefix(one) == one[:11]
    assert apikey.digest(one) not in (one, apikey.digest(other))


def test_a_principal_is_read_as_it_was_signed() -> None:
    assert principal.verify(principal.sign(CALLER, KEY), KEY, now=99.9) == CALLER


@pytest.mark.parametrize("now", [100.0, 1e9])
def test_a_principal_expires(now: float) -> None:
    with pytest.raises(principal.PrincipalError, match="expired"):
        principal.verify(principal.sign(CALLER, KEY), KEY, now=now)


def test_a_bent_principal_is_refused() -> None:
    signed = principal.sign(CALLER, KEY)
    forged = principal.sign(replace(CALLER, scopes=frozenset({"emails:erase"})), b"f" * 32)
    body, _, mac = signed.partition(".")
    others = ["", ".", body, forged, f"{body}.{mac[:-1]}", f"{forged.partition('.')[0]}.{mac}", f"{body}é.{mac}"]
    for value in others:
        with pytest.raises(principal.PrincipalError):
            principal.verify(value, KEY, now=0)
