"""A Postfix of a test's own: Debian's package under its own directories, nothing in /etc read or written.

    with postfix() as relay:                  # needs root, for Postfix changes to a user of its own
        relay.ports["submission"]             # STARTTLS, then AUTH PLAIN or LOGIN as relay.USER, relay.PASSWORD
        ScriptedRelay(port=relay.next_hop)    # where everything that it takes is relayed to

It refuses `nobody@…`, defers `busy@…`, lets `boss@shop.example` be used by somebody else only, and takes 20,000 octets.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

import pytest

from deploy.local.ports import free_port
from tests.support.certificates import authority

HOST = "relay.test"
"""The name in its certificate."""
USER = f"alice@{HOST}"
SIZE_LIMIT = 20_000

_PROGRAMS = {"postfix": "postfix", "postqueue": "postfix", "saslpasswd2": "sasl2-bin"}
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_START_SECONDS = 20.0
_COMMAND_SECONDS = 60.0

# name in `ports`: options of its smtpd
_LISTENERS: Mapping[str, tuple[str, ...]] = {
    "submission": (),
    "submissions": ("smtpd_tls_wrappermode=yes",),
    "login_only": ("smtpd_sasl_path=login",),
    "size_unsaid": ("smtpd_discard_ehlo_keywords=size",),
    "one_by_one": ("smtpd_discard_ehlo_keywords=pipelining",),
    "impatient": ("smtpd_timeout=1s",),
}

_MAIN = """\
compatibility_level = 3.6
queue_directory = {d}/spool
data_directory = {d}/data
maillog_file = {d}/log/mail.log
maillog_file_prefixes = {d}
myhostname = {host}
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
relayhost = [127.0.0.1]:{next_hop}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sender_login_maps = inline:{{ {{ boss@shop.example = bob@{host} }} }}
smtpd_sender_restrictions = reject_known_sender_login_mismatch
smtpd_recipient_restrictions = check_recipient_access inline:{{
    {{ nobody@ = 550 5.1.1 User unknown }} {{ busy@ = 450 4.2.1 Greylisted, come again }} }},
    permit_sasl_authenticated, reject
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = plain
cyrus_sasl_config_path = {d}/conf/sasl
smtpd_sasl_local_domain = {host}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {d}/server.pem
smtpd_tls_received_header = yes
smtpd_sasl_authenticated_header = yes
smtp_tls_security_level = none
smtp_connection_cache_on_demand = no
smtpd_client_connection_count_limit = 0
message_size_limit = {size}
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s
"""
_MASTER = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
_SASL = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {d}/sasldb2\nmech_list: {mechanisms}\n"


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running instance. `ports` by listener; mail goes on to port `next_hop` of this machine."""

    directory: Path
    ports: Mapping[str, int]
    next_hop: int
    password: str
    ca_file: str

    def log(self) -> str:
        """What it has said so far."""
        return (self.directory / "log" / "mail.log").read_text()

    async def said(self, words: str, times: int = 1, *, seconds: float = 10) -> None:
        """Return when its log has these words so many times."""
        async with asyncio.timeout(seconds):
            while self.log().count(words) < times:
                await asyncio.sleep(0.05)

    def queue(self) -> str:
        """What `postqueue -p` shows."""
        return _run("postqueue", "-c", str(self.directory / "conf"), "-p")


def require_postfix() -> None:
    """Skip where there can be none; fail where everything has to be tried (`CI`, `TEMPS_REQUIRE_ALL`)."""
    reason = missing()
    if reason is not None and (os.environ.get("CI") or os.environ.get("TEMPS_REQUIRE_ALL")):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


def missing() -> str | None:
    """Why there can be no Postfix here."""
    if os.geteuid() != 0:
        return "Postfix needs root to change to its own user"
    packages = {package for program, package in _PROGRAMS.items() if shutil.which(program, path=_PATH) is None}
    if not any(Path("/usr/lib").glob("*/sasl2/libplain.so*")):
        packages.add("libsasl2-modules")
    return f"not installed: {', '.join(sorted(packages))} (apt-get install)" if packages else None


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Start one and stop it, each by its own commands. Raises `RuntimeError` with its log if it does not start."""
    # Not below pytest's own directory: that one is closed to all users but root, Postfix's among them.
    directory = Path(tempfile.mkdtemp(prefix="temps-postfix-"))
    try:
        instance = _configured(directory)
        conf = str(directory / "conf")
        _run("postfix", "-c", conf, "start")
        try:
            _wait_for(instance)
            yield instance
        finally:
            _run("postfix", "-c", conf, "stop")
    finally:
        shutil.rmtree(directory)


def _configured(directory: Path) -> Postfix:
    directory.chmod(0o755)
    for name in ("conf/sasl", "spool", "data", "log"):
        (directory / name).mkdir(parents=True)
    shutil.chown(directory / "data", "postfix")
    trusted = authority(directory)
    trusted.server(HOST)
    ports: dict[str, int] = {}
    for name in (*_LISTENERS, "next_hop"):
        ports[name] = free_port(ports.values())
    next_hop, password = ports.pop("next_hop"), token_urlsafe(24)
    main = _MAIN.format(d=directory, host=HOST, next_hop=next_hop, size=SIZE_LIMIT)
    (directory / "conf/main.cf").write_text(main)
    lines = [
        f"127.0.0.1:{ports[name]} inet n - n - - smtpd" + "".join(f" -o {option}" for option in options)
        for name, options in _LISTENERS.items()
    ]
    (directory / "conf/master.cf").write_text(_MASTER + "\n".join(lines) + "\n")
    for name, mechanisms in (("plain", "PLAIN LOGIN"), ("login", "LOGIN")):
        (directory / f"conf/sasl/{name}.conf").write_text(_SASL.format(d=directory, mechanisms=mechanisms))
    user, _, realm = USER.partition("@")
    _run("saslpasswd2", "-p", "-f", f"{directory}/sasldb2", "-c", "-u", realm, user, stdin=password)
    shutil.chown(directory / "sasldb2", group="postfix")
    (directory / "sasldb2").chmod(0o640)
    return Postfix(directory, ports, next_hop, password, trusted.ca_file)


def _wait_for(instance: Postfix) -> None:
    """`postfix start` comes back when all ports listen; the first greeting says that smtpd can be run too."""
    try:
        with socket.create_connection(("127.0.0.1", instance.ports["submission"]), timeout=_START_SECONDS) as sock:
            greeting = sock.recv(512)
    except OSError as error:
        raise RuntimeError(f"Postfix does not answer: {error}\n{instance.log()}") from None
    if not greeting.startswith(b"220 "):
        raise RuntimeError(f"Postfix does not serve: {greeting!r}\n{instance.log()}")


def _run(program: str, *arguments: str, stdin: str = "") -> str:
    ended = subprocess.run(
        [str(shutil.which(program, path=_PATH)), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
        env={**os.environ, "PATH": _PATH},
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{program} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
    return ended.stdout
