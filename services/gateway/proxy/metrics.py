"""How many requests went where, and how long they took: the same metrics as every service, cheaper per request."""

from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram

from libs.common.web.app import REQUESTS, SECONDS

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_LEFT = 499


@dataclass(frozen=True, slots=True)
class Meters:
    """Keeps the labelled metrics at hand: looking them up costs more than counting."""

    _counts: dict[tuple[str, str, int], Counter] = field(default_factory=dict)
    _clocks: dict[str, Histogram] = field(default_factory=dict)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request. `route` is the service; a status of 0 is a client that left before there was one."""
        key = (route, method, status)
        counter = self._counts.get(key)
        if counter is None:
            # Callers choose methods: unknown ones must not become metrics of their own.
            known = method if method in _METHODS else "other"
            counter = REQUESTS.labels("gateway", route, known, str(status or _CLIENT_LEFT))
            if known == method:
                self._counts[key] = counter
        clock = self._clocks.get(route)
        if clock is None:
            clock = self._clocks[route] = SECONDS.labels("gateway", route)
        counter.inc()
        clock.observe(seconds)
