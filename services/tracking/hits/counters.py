"""Counters of hits."""

from functools import cache

from prometheus_client import Counter

HITS = Counter("temps_hits_total", "Hits on pixels and links, by what became of them", ["kind", "outcome"])
"""`recorded`; `spooled` (will be); `unknown`, `untracked`, `limited`, `lost` (no room), `refused` (not)."""


@cache
def _counter(kind: str, outcome: str) -> Counter:
    """Looked up once: finding a child costs more than counting."""
    return HITS.labels(kind, outcome)


def count(link_index: int | None, outcome: str) -> None:
    """One more."""
    _counter("open" if link_index is None else "click", outcome).inc()
