"""Secrets that can be found again wherever they have got to: plain, in base64 at any offset, in hex, cut in half."""

import base64
import mmap
import secrets
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

_LETTERS = string.ascii_lowercase + string.digits
_SHORTEST = 10


class Canaries:
    """One run's invented secrets. Each holds the run's mark twice, so that half of one is found too.

    The mark is lower case and alphanumeric: percent encoding, JSON and HTML leave it as it is.
    """

    def __init__(self) -> None:
        self._mark = "zq" + "".join(secrets.choice(_LETTERS) for _ in range(12))
        self.made: list[str] = []

    def text(self, name: str) -> str:
        """For what may hold any character: quotes, a backslash, spaces and what is not ASCII are in it."""
        return self._keep(f"{self._mark} \"ä\\/&%+=' {name} {self._mark}")

    def key(self, name: str) -> str:
        """For what is ASCII without spaces."""
        return self._keep(f"A-{self._mark}/{name}+{self._mark}=B")

    def user(self, name: str) -> str:
        """For a user name, of which the first and last four characters may be shown."""
        return self._keep(f"user-{self._mark}-{name}-{self._mark}@example")

    def _keep(self, canary: str) -> str:
        self.made.append(canary)
        return canary

    @property
    def needles(self) -> dict[bytes, str]:
        """What to look for; lower case is looked for in lower case."""
        return needles(self._mark, "a canary")


def needles(secret: str, name: str) -> dict[bytes, str]:
    """Every form in which a secret (a key, a password, a cookie) may have got somewhere."""
    raw = secret.encode()
    assert len(raw) >= _SHORTEST, f"{name} is too short to be sure of"
    forms = {raw: "plain", quote(secret, safe="").encode(): "percent-encoded", raw.hex().encode(): "hex"}
    for offset in range(3):
        # Three octets are four characters: those that depend on what stands before or after are left away.
        coded = base64.b64encode(b"\0" * offset + raw)
        inner = coded[(0, 2, 3)[offset] : len(coded) - (0, 4, 4)[(offset + len(raw)) % 3]]
        forms[inner] = forms[inner.translate(bytes.maketrans(b"+/", b"-_"))] = "base64"
    return {form: f"{name}, {how}" for form, how in forms.items()}


def found_in(data: bytes | mmap.mmap, wanted: Mapping[bytes, str]) -> list[str]:
    """Which of them are there, each with what stands around it."""
    found = []
    for needle, name in wanted.items():
        where = data.find(needle)
        if where >= 0:
            found.append(f"{name}: …{data[max(0, where - 120) : where + 120]!r}…")
    return found


def found_in_files(folder: Path, wanted: Mapping[bytes, str], *, but: frozenset[Path]) -> Iterator[str]:
    """Every file below, those in `but` (or below them) aside, with their names."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or not but.isdisjoint({path, *path.parents}):
            continue
        try:
            with path.open("rb") as file:
                if path.stat().st_size == 0:
                    continue
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    yield from (f"{path}: {each}" for each in found_in(data, wanted))
        except FileNotFoundError:
            continue  # NATS and Postgres replace files while they are looked at
        yield from (f"{path} (its name): {each}" for each in found_in(str(path).encode(), wanted))
