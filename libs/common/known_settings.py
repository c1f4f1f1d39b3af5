"""The names of all settings, so that a mistyped one is noticed; a contract test holds this list to the models."""

import difflib
from collections.abc import Iterable

PREFIX = "TEMPS_"

# Read by `make up` alone.
LOCAL = frozenset({"HOME", "PORT"})
# Read by the tests and measurements alone.
TESTS = frozenset(
    {"TEST_NATS_URL", "TEST_NATS_MONITOR_URL", "TEST_POSTGRES_URL", "REQUIRE_ALL", "OUTAGE_SECONDS"}
    | {"BENCH_EMAILS", "BENCH_REQUESTS"}
)
SERVICES = frozenset(
    {"ADMIN_EMAIL", "ALLOW_CUSTOM_ENDPOINTS", "ANALYTICS_URL", "BODY_TIMEOUT", "BOOTSTRAP_KEY_FILE"}
    | {"BOOTSTRAP_PASSWORD_FILE", "BRAND", "CONTENT_RETENTION_DAYS", "COUNT_MACHINES", "DNS_RESOLVER", "DRAIN_SECONDS"}
    | {"HTTP_HOST", "HTTP_PORT", "INBOX_DIR", "INBOX_SMTP_PORT", "INTERNAL_PORT", "IP_MODE", "KEYRING_FILE"}
    | {
        "LOCAL_INBOX_CONNECTIONS",
        "LOCAL_INBOX_SMTP",
        "LOCAL_INBOX_URL",
        "NATS_MONITOR_URL",
        "NATS_REPLICAS",
        "NATS_URL",
    }
    | {"OUTBOUND_POLICY", "OWN_PORTS", "POSTGRES_OWNER_URL", "POSTGRES_URL", "PRINCIPAL_KEY_FILE", "PROVIDERS_URL"}
    | {"PUBLIC_URL", "RATE_LIMIT_PER_SECOND", "SCALEWAY_API_URL", "SENDER_URL", "SESSION_KEY_FILE", "SMTP_PORTS"}
    | {"SPOOL_DIR", "SPOOL_MAX_BYTES", "STORE_BYTES", "TRACKING_URL", "TRUSTED_PROXIES", "UPSTREAM_TIMEOUT"}
    | {"WORKER_NAME"}
)
KNOWN = frozenset(PREFIX + name for name in LOCAL | TESTS | SERVICES)


def unknown_settings(names: Iterable[str]) -> list[str]:
    """A sentence for each variable that begins like a setting and is none, with the name that may have been meant."""
    said = []
    for name in sorted(set(names)):
        if not name.startswith(PREFIX) or name in KNOWN:
            continue
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.6)
        said.append(f"{name} is not a setting" + (f": did you mean {near[0]}?" if near else ""))
    return said
