"""Metrics of the worker."""

from prometheus_client import Counter, Gauge, Histogram

FINISHED = Counter(
    "temps_attempts_total", "Attempts finished, by the fact they led to (or repeat, left)", ["provider", "event"]
)
REROUTES = Counter(
    "temps_reroutes_total",
    "Attempts given to another provider: connection, configuration, quota (tried and failed), circuit, stopped, "
    "inactive (not tried), deleted",
    ["from", "to", "reason"],
)
WAITED = Histogram(
    "temps_queue_wait_seconds",
    "From the time an attempt was due until a worker had it in hand",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200),
)
UNREADABLE = Counter("temps_queue_unreadable_total", "Messages on the queue that are no attempts; they were dropped")
ERRORS = Counter("temps_delivery_errors_total", "Attempts ended by an error of our own")
IN_HAND = Gauge("temps_in_hand", "Messages in this worker's hands")
