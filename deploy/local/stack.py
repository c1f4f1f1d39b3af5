"""The table of the parts: NATS, Postgres, the inbox and the five services, with the settings of each."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local import nats, postgres
from deploy.local.credentials import Credentials
from deploy.local.errors import LocalError
from deploy.local.home import Home
from deploy.local.parts import Part, Rank, http_ready

DEFAULT_PORT = 8080
LOOPBACK = "127.0.0.1"

# Everything that listens, but the gateway; `settle` gives each a port.
LISTENERS = (
    *("nats", "nats-monitor", "postgres", "inbox", "inbox-smtp", "gateway-internal"),
    *("providers", "sender", "worker", "tracking", "analytics"),
)
# The stored provider "Local inbox" names this port.
FIXED = ("inbox-smtp",)

# What the operator may say about reaching providers; it goes to those who do.
RELAY_SETTINGS = (
    *("TEMPS_ALLOW_CUSTOM_ENDPOINTS", "TEMPS_SCALEWAY_API_URL", "TEMPS_DNS_RESOLVER"),
    *("TEMPS_OUTBOUND_POLICY", "TEMPS_SMTP_PORTS"),
)

SERVICES = ("providers", "sender", "tracking", "analytics", "gateway", "worker")
SERVERS = ("nats", "postgres")  # these come first


@dataclass(frozen=True)
class Plan:
    """One start of one home: where everything is, before anything runs."""

    home: Home
    ports: Mapping[str, int]
    credentials: Credentials
    caller: Mapping[str, str]

    def nats_url(self, part: str) -> str:
        """With the name and password of that part's user (`deploy.nats_users`), for its environment alone.

        The step that makes the streams has a user of another name, and the inbox has none: it never speaks to NATS.
        """
        user = "streams" if part == "bootstrap" else part
        login = f"{user}:{self.credentials.nats[user]}@" if user in self.credentials.nats else ""
        return f"nats://{login}{LOOPBACK}:{self.ports['nats']}"

    @property
    def monitor_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['nats-monitor']}"

    @property
    def gateway_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['gateway']}"

    @property
    def store(self) -> Path:
        return self.home.data / "nats"

    @property
    def postgres_data(self) -> Path:
        return self.home.data / "postgres"


def gateway_port(environment: Mapping[str, str]) -> int:
    text = environment.get("TEMPS_PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise LocalError(f"TEMPS_PORT must be a port number, not {text!r}")
    return int(text)


def parts(plan: Plan) -> list[Part]:
    """Every part in the order in which `make status` lists them."""
    return [
        _nats(plan),
        _postgres(plan),
        _python(plan, "inbox", "deploy.local.inbox", rank=Rank.INBOX),
        _python(plan, "gateway", "services.gateway", host=plan.caller.get("TEMPS_HTTP_HOST")),
        _python(plan, "providers", "services.providers"),
        _python(plan, "sender", "services.sender"),
        _python(plan, "worker", "services.sender", "worker"),
        _python(plan, "tracking", "services.tracking"),
        _python(plan, "analytics", "services.analytics"),
    ]


def environment(plan: Plan, name: str) -> dict[str, str]:
    """The settings of one part; secrets go only to those who need them."""
    ports = plan.ports
    common = {
        "TEMPS_HOME": str(plan.home.path),
        "TEMPS_HTTP_HOST": LOOPBACK,
        "TEMPS_NATS_URL": plan.nats_url(name),
        "TEMPS_NATS_MONITOR_URL": plan.monitor_url,
        "TEMPS_NATS_REPLICAS": "1",
        "TEMPS_PRINCIPAL_KEY_FILE": str(plan.credentials.principal_key),
        "TEMPS_PUBLIC_URL": plan.caller.get("TEMPS_PUBLIC_URL") or f"http://localhost:{ports['gateway']}",
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",  # glibc's arenas per thread are most of what an idle Python wastes
    }
    mail = {
        "TEMPS_KEYRING_FILE": str(plan.credentials.key_ring),
        "TEMPS_LOCAL_INBOX_SMTP": f"{LOOPBACK}:{ports['inbox-smtp']}",
        "TEMPS_OWN_PORTS": ",".join(str(port) for name, port in sorted(ports.items()) if name != "inbox-smtp"),
    }
    mail |= {name: plan.caller[name] for name in RELAY_SETTINGS if plan.caller.get(name)}
    listens = {"TEMPS_HTTP_PORT": str(ports[name])} if name in ports else {}
    own: dict[str, dict[str, str]] = {
        "inbox": {
            "TEMPS_INBOX_SMTP_PORT": str(ports["inbox-smtp"]),
            "TEMPS_INBOX_DIR": str(plan.home.data / "inbox"),
        },
        "gateway": {
            "TEMPS_INTERNAL_PORT": str(ports["gateway-internal"]),
            "TEMPS_PROVIDERS_URL": f"http://{LOOPBACK}:{ports['providers']}",
            "TEMPS_SENDER_URL": f"http://{LOOPBACK}:{ports['sender']}",
            "TEMPS_TRACKING_URL": f"http://{LOOPBACK}:{ports['tracking']}",
            "TEMPS_ANALYTICS_URL": f"http://{LOOPBACK}:{ports['analytics']}",
            "TEMPS_LOCAL_INBOX_URL": f"http://{LOOPBACK}:{ports['inbox']}",
            "TEMPS_SESSION_KEY_FILE": str(plan.credentials.session_key),
            "TEMPS_KEYRING_FILE": str(plan.credentials.gateway_key_ring),
            "TEMPS_BOOTSTRAP_KEY_FILE": str(plan.credentials.api_key),
            "TEMPS_BOOTSTRAP_PASSWORD_FILE": str(plan.credentials.admin_password),
        },
        "providers": mail,
        "sender": mail,
        "worker": {**mail, "TEMPS_INTERNAL_PORT": str(ports["worker"]), "TEMPS_WORKER_NAME": "local"},
        "tracking": {"TEMPS_SPOOL_DIR": str(plan.home.data / "spool")},
        "analytics": {
            "TEMPS_POSTGRES_URL": _postgres_url(plan, postgres.ANALYTICS, plan.credentials.postgres.analytics),
            "TEMPS_POSTGRES_OWNER_URL": _postgres_url(plan, postgres.OWNER, plan.credentials.postgres.owner),
        },
    }
    return {**common, **listens, **own.get(name, {})}


def prepare(plan: Plan) -> dict[str, str]:
    """What must be on disk before the servers start; the answer is what the bootstrap step should know more.

    The limited streams share what they are given; the rest is for queue, schedules and secrets.
    """
    limit = nats.write_config(plan.home / "nats.conf", plan.store, passwords=plan.credentials.nats)
    postgres.create(plan.postgres_data, plan.credentials.postgres)
    (plan.home / "inbox-port").write_text(f"{plan.ports['inbox-smtp']}\n")
    (plan.home / "gateway-url").write_text(f"{plan.gateway_url}\n")
    return {"TEMPS_STORE_BYTES": str(limit * 3 // 4)}


def _nats(plan: Plan) -> Part:
    port, monitor_port = plan.ports["nats"], plan.ports["nats-monitor"]
    return Part(
        name="nats",
        command=tuple(nats.argv(plan.home / "nats.conf", plan.store, port, monitor_port)),
        waiting_for=lambda _pid: nats.waiting_for(plan.monitor_url),
        environment={"TEMPS_HOME": str(plan.home.path)},
        port=port,
        rank=Rank.NATS,
    )


def _postgres(plan: Plan) -> Part:
    return Part(
        name="postgres",
        command=tuple(postgres.argv(plan.postgres_data, plan.ports["postgres"])),
        waiting_for=lambda pid: postgres.waiting_for(plan.postgres_data, pid),
        environment={"TEMPS_HOME": str(plan.home.path)},
        port=plan.ports["postgres"],
        rank=Rank.POSTGRES,
        stop_signal=signal.SIGINT,  # "fast": checkpoint and end; SIGTERM would wait for clients
    )


def _python(
    plan: Plan, name: str, module: str, *arguments: str, rank: Rank = Rank.SERVICE, host: str | None = None
) -> Part:
    settings = environment(plan, name)
    return Part(
        name=name,
        command=(sys.executable, "-m", module, *arguments),
        waiting_for=http_ready(plan.ports[name]),
        environment={**settings, "TEMPS_HTTP_HOST": host} if host else settings,
        port=plan.ports[name],
        rank=rank,
    )


def _postgres_url(plan: Plan, role: str, password: str) -> str:
    return postgres.url(plan.ports["postgres"], role, password)
