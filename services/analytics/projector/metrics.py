"""Metrics of the projector."""

from prometheus_client import Counter, Gauge

POSITION = Gauge("temps_projection_position", "Last sequence in the tables", ["model", "stream"])
BEHIND = Gauge("temps_projection_behind", "Facts of the log that are not in the tables yet")
FACTS = Counter("temps_projection_facts", "Facts taken in by the live projector")
UNKNOWN = Counter("temps_projection_unknown_facts", "Facts of a type this code does not know", ["type"])
STOPPED = Gauge("temps_projection_stopped", "1 when a fact that it cannot take stops a read model", ["model"])
ACTIVE = Gauge("temps_projection_active", "1 when this process is the one that projects")
DIVERGED = Gauge("temps_log_diverged", "1 when the log is not the one that was projected")
RETRIES = Counter("temps_projection_retries", "Batches begun anew because Postgres or NATS was away")
