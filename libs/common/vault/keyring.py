"""Secrets at rest: AES-256-GCM under a key ring, bound to what they belong to.

The key's id is in the ciphertext, so that a ring may hold old keys while a new one writes; the associated data (for
instance `provider/3`) makes a ciphertext useless anywhere else. NIST SP 800-38D: 96-bit random nonces.
"""

import base64
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

log = logging.getLogger(__name__)

_NONCE_BYTES = 12
_KEY_BYTES = 32
_FORMAT = b"t1"


class SecretsError(ValueError):
    """A key ring or a ciphertext cannot be used; the text never holds either."""


class UnknownKeyError(SecretsError):
    """The ring has no key of that id: it may not have arrived here yet, or the ring is another's."""


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
        """The plaintext. Raises `UnknownKeyError`, or `SecretsError` for another owner, another key or damage."""
        key_id = key_id_of(ciphertext)
        key = self.keys.get(key_id)
        if key is None:
            raise UnknownKeyError(f"the secret of {bound_to} is encrypted under a key that is not in the key ring")
        sealed = ciphertext.split(b":", 2)[2]
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
        except (InvalidTag, ValueError):
            raise SecretsError(f"the secret of {bound_to} does not decrypt") from None


class RingFile:
    """The key ring of a file that may change while the process runs; whatever it is asked, the file is looked at first.

    That is one stat(2), some microseconds, so a key that was made active is used by the very next encryption. A file
    that is away or damaged for the moment changes nothing: the ring as it last was goes on. Mounted secrets
    (Kubernetes) appear behind a symbolic link that is swapped: the link is followed, and it is a new file then.
    """

    def __init__(self, path: Path) -> None:
        """Raises `SecretsError` when there is no ring in the file."""
        self._path = path
        self._seen = _identity(path)
        self._ring = read_key_ring(path)

    def __repr__(self) -> str:
        return f"RingFile({str(self._path)!r})"

    @property
    def ring(self) -> KeyRing:
        """As the file has it now."""
        identity = _identity(self._path)
        if identity != self._seen:
            self._seen = identity
            try:
                self._ring = read_key_ring(self._path)
            except (SecretsError, OSError) as error:
                log.error("the key ring stays as it was: %s", error)  # noqa: TRY400 - the text says it all
            else:
                log.info("read %s anew: %s is active, %d keys", self._path, self._ring.active, len(self._ring.keys))
        return self._ring

    def encrypt(self, plaintext: bytes, *, bound_to: str) -> bytes:
        """As of `KeyRing`, under the key that is active now."""
        return self.ring.encrypt(plaintext, bound_to=bound_to)

    def decrypt(self, ciphertext: bytes, *, bound_to: str) -> bytes:
        """As of `KeyRing`, with the keys that are there now."""
        return self.ring.decrypt(ciphertext, bound_to=bound_to)


def key_id_of(ciphertext: bytes) -> str:
    """Which key it was encrypted under. Raises `SecretsError` when it is none of ours."""
    form, _, rest = ciphertext.partition(b":")
    key_id, mark, sealed = rest.partition(b":")
    if form != _FORMAT or not mark or len(sealed) <= _NONCE_BYTES:
        raise SecretsError("not in a form that this version knows")
    return key_id.decode("ascii", "replace")


def new_key() -> bytes:
    """Random, of the right length."""
    return os.urandom(_KEY_BYTES)


def read_key_ring(path: Path) -> KeyRing:
    """A ring from JSON `{"active": id, "keys": {id: base64 of 32 bytes}}`. Raises `SecretsError`, `OSError`."""
    try:
        raw = json.loads(path.read_text("utf-8"))
        keys = {name: base64.b64decode(value, validate=True) for name, value in raw["keys"].items()}
        ring = KeyRing(raw["active"], keys)
    except (AttributeError, KeyError, TypeError, ValueError):
        # Not chained: what json or base64 stumbled over may be part of a key.
        raise SecretsError(f"{path} is not a key ring") from None
    if ring.active not in keys or any(len(key) != _KEY_BYTES for key in keys.values()):
        raise SecretsError(f"{path}: the active key must be in the ring and keys have {_KEY_BYTES} bytes")
    if any(not name.isascii() or not name or ":" in name for name in keys):
        raise SecretsError(f"{path}: a key's id is ASCII without a colon")
    return ring


def write_key_ring(path: Path, ring: KeyRing) -> None:
    """All of it or nothing, 0600 from its first moment, on disk when this returns."""
    encoded = {name: base64.b64encode(key).decode() for name, key in ring.keys.items()}
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps({"active": ring.active, "keys": encoded}) + "\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
