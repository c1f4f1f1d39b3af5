"""Clients that go away in the middle of a request: a number for the operator, and no error of ours."""

import logging

from prometheus_client import Counter

log = logging.getLogger(__name__)

GONE = Counter("temps_http_clients_gone_total", "Clients that left before their request was whole", ["service"])


def client_gone(service: str) -> None:
    """Count it. The log says it at DEBUG only: a flood of cut-off requests must not become a flood of lines."""
    GONE.labels(service).inc()
    log.debug("%s: a client left before its request was whole", service)
