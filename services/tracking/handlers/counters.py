"""What became of hits, for /metrics."""

from prometheus_client import Counter

HITS = Counter("temps_hits_total", "Hits on pixels and links, by what became of them", ["kind", "outcome"])
"""`recorded`; `spooled` (will be); `unknown`, `untracked`, `limited`, `lost` (no room), `refused` (not)."""

KINDS = ("open", "click")


def count(link_index: int | None, outcome: str) -> None:
    """One more."""
    HITS.labels(KINDS[link_index is not None], outcome).inc()
