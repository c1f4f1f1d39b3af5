"""No secret is anywhere but where it is meant to be: a whole system is driven with invented ones, then searched."""

import base64
import contextlib
import json
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.nats_users import USERS
from libs.common.vault.keyring import read_key_ring
from tests.e2e.client import until
from tests.e2e.driving import (
    RELAYS,
    Driven,
    Recorded,
    every_get,
    keys_and_sessions,
    through_http,
    through_smtp,
    timeline,
)
from tests.e2e.misplacing import wrong_input
from tests.e2e.stack import Stack, running
from tests.support import seen
from tests.support.canaries import Canaries, found_in, found_in_files, needles
from tests.support.echoing import EchoingHttp, EchoingRelay, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Files that hold secrets because that is what they are for, readable by their owner alone; no canary is in them either.
MEANT_TO_HOLD = {
    "nats.conf": "the passwords of NATS' users, for the server",
    "secrets": "key rings, signing keys and the database's passwords, one file each",
    "api-key": "the first key, for the operator and the README's calls",
    "admin-password": "the first user's password, for the operator",
}


def test_no_secret_is_anywhere_but_where_it_is_meant_to_be(tmp_path: Path) -> None:
    home, canaries = tmp_path / "home", Canaries()
    relays = {name: EchoingRelay(replies) for name, replies in RELAYS.items()}
    with contextlib.ExitStack() as stack:
        http = EchoingHttp()
        stack.enter_context(serving(*relays.values(), http))
        settings = seen.log_everything(tmp_path / "logging") | {
            "TEMPS_ALLOW_CUSTOM_ENDPOINTS": "true",
            "TEMPS_SCALEWAY_API_URL": http.url,
        }
        system = stack.enter_context(running(home, settings))
        api = stack.enter_context(Recorded(system.url, system.key))
        driven = Driven(api, canaries)
        own_secrets(driven, home)
        through_smtp(driven, relays)
        through_http(driven, http, system.nats_url)
        wrong_input(driven)
        keys_and_sessions(driven, home)
        # The first email of each relay; a later one may wait, because the relay's answer has stopped its provider.
        until(lambda: [len(timeline(api, each)) for each in driven.emails[::3]], lambda n: min(n) > 1, seconds=60)
        every_get(driven)
        leaks = [*search(system, driven)]
    leaks += search_files(home, driven)
    assert not leaks, "\n".join([f"{len(leaks)} leaks:", *leaks[:40]])


def own_secrets(driven: Driven, home: Path) -> None:
    """What the first start made."""
    for name in ("api-key", "admin-password"):
        driven.secrets[name] = (home / name).read_text().strip()
    for file in (home / "secrets").iterdir():
        if file.suffix == ".json":
            keys = read_key_ring(file).keys.items()
            driven.secrets |= {f"{file.name} {name}": base64.b64encode(key).decode() for name, key in keys}
        else:
            driven.secrets[file.name] = file.read_text().strip()
    assert len(driven.secrets) == 9 + len(USERS)


def search(system: Stack, driven: Driven) -> Iterator[str]:
    """Answers, streams, tables, metrics and processes, while it runs."""
    wanted, control = unwanted(driven), driven.control.encode()
    for what, data, shown in driven.api.answers:
        here = {needle: name for needle, name in wanted.items() if shown is None or not name.startswith(f"{shown},")}
        yield from (f"the answer to {what}: {each}" for each in found_in(data, here))
    ports = json.loads((system.home / "ports.json").read_text())
    pages = {name: ports[name] for name in ("providers", "sender", "worker", "tracking", "analytics")}
    pages["gateway"] = ports["gateway-internal"]
    yield from found_among(seen.messages(system), wanted, control=control)
    yield from found_among(seen.tables(system), wanted, control=control)
    yield from found_among(seen.own_pages(pages), wanted, control=b"temps_http_requests_total")
    if sys.platform == "linux":
        yield from found_among(seen.command_lines(system), wanted, control=b"services.providers")
        # Each part is told how to log in to NATS, and analytics to its database, in its environment, which only its
        # own user may read.
        its_own = {needle: name for needle, name in wanted.items() if not name.startswith(("postgres-", "nats-"))}
        yield from found_among(seen.environments(system), its_own, control=b"TEMPS_KEYRING_FILE")


def found_among(source: seen.Seen, wanted: Mapping[bytes, str], *, control: bytes) -> Iterator[str]:
    """What is there and must not be. `control` is what must be there, or nothing was really searched."""
    has_control, looked_at = False, 0
    for what, data in source:
        has_control, looked_at = has_control or control in data, looked_at + 1
        yield from (f"{what}: {each}" for each in found_in(data, wanted))
    assert has_control, f"{control!r} is in none of {looked_at}"


def search_files(home: Path, driven: Driven) -> Iterator[str]:
    """Everything on disk, after the end: logs, NATS' and Postgres' own files, the supervisor's; and what it said."""
    wanted, exempt = unwanted(driven), frozenset(home / name for name in MEANT_TO_HOLD)
    for path in (*exempt, *(home / "secrets").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    controls = [*found_in_files(home, {driven.control.encode(): "control"}, but=frozenset())]
    for folder in ("data/nats", "data/postgres"):
        assert any(each.startswith(f"{home / folder}/") for each in controls), folder
    yield from found_in_files(home, wanted, but=exempt)
    yield from found_in_files(home, driven.canaries.needles, but=frozenset())
    for part in ("gateway", "providers", "sender", "worker", "tracking", "analytics"):
        assert "everything is logged" in (home / "logs" / f"{part}.log").read_text(), part
    # The terminal is told the first key and the password; it is the operator's.
    said = home.with_name(home.name + ".said").read_bytes()
    told = {needle: name for needle, name in wanted.items() if not name.startswith(("api-key,", "admin-password,"))}
    yield from (f"the terminal: {each}" for each in found_in(said, told))


def unwanted(driven: Driven) -> dict[bytes, str]:
    found = driven.canaries.needles
    for name, secret in driven.secrets.items():
        # The first eleven characters of a key are shown so that people can tell them apart.
        found |= needles(secret[11:] if secret.startswith("tk_") else secret, name)
        with contextlib.suppress(ValueError):
            if len(raw := base64.b64decode(secret, validate=True)) == 32:
                found[raw] = f"{name}, raw"
    return found
