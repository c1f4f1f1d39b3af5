"""Secrets at rest: AES-256-GCM under a key ring, bound to what they belong to.

The key's id is in the ciphertext, so that a ring may hold old keys while a new one writes; the associated data (for
instance `provider/3`) makes a ciphertext useless anywhere else. NIST SP 800-38D: 96-bit random nonces.
"""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_KEY_BYTES = 32
_FORMAT = b"t1"


class SecretsError(ValueError):
    """A key ring or a ciphertext cannot be used; the text never holds either."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """`active` encrypts, every key decrypts."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)

    def encrypt(self, plaintext: bytes, *, bound_to: str) -> bytes:
        """`t1:<key id>:` + nonce + ciphertext."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.keys[self.active]).encrypt(nonce, plaintext, bound_to.encode())
        return b":".join((_FORMAT, self.active.encode(), nonce + sealed))

    def decrypt(self, ciphertext: bytes, *, bound_to: str) -> bytes:
        """The plaintext. Raises `SecretsError` for another owner, an unknown key or damage."""
        form, _, rest = ciphertext.partition(b":")
        key_id, _, sealed = rest.partition(b":")
        key = self.keys.get(key_id.decode("ascii", "replace"))
        if form != _FORMAT or key is None or len(sealed) <= _NONCE_BYTES:
            raise SecretsError("encrypted under a key that is not in the key ring")
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
        except InvalidTag:
            raise SecretsError(f"the secret of {bound_to} does not decrypt") from None


def read_key_ring(path: Path) -> KeyRing:
    """A ring from JSON `{"active": id, "keys": {id: base64 of 32 bytes}}`. Raises `SecretsError`."""
    try:
        raw = json.loads(path.read_text("utf-8"))
        keys = {name: base64.b64decode(value, validate=True) for name, value in raw["keys"].items()}
        ring = KeyRing(raw["active"], keys)
    except (KeyError, TypeError, ValueError) as error:
        raise SecretsError(f"{path} is not a key ring") from error
    if ring.active not in keys or any(len(key) != _KEY_BYTES for key in keys.values()):
        raise SecretsError(f"{path}: the active key must be in the ring and keys have {_KEY_BYTES} bytes")
    return ring
