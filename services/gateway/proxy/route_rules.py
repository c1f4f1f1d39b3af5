"""Which service answers which path: the one table of the gateway.

The longest prefix that matches whole segments decides, then the method. `own` is the gateway itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

READS = ("GET", "HEAD")
OWN = "own"


@dataclass(frozen=True, slots=True)
class Target:
    """The service that answers. `public`: no authentication; such a HEAD is forwarded unchanged."""

    service: str
    public: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One prefix. A method that is not in `by_method` is 405."""

    by_method: Mapping[str, Target]

    @property
    def allow(self) -> str:
        """The value of the header Allow."""
        return ", ".join(self.by_method)


@dataclass(frozen=True, slots=True)
class NoRoute:
    """404, or 405 with `allow`."""

    allow: str | None = None


def _to(service: str, *methods: str, public: bool = False) -> dict[str, Target]:
    target = Target(service, public)
    return dict.fromkeys(methods, target)


def _reads(service: str, *, public: bool = False) -> dict[str, Target]:
    return _to(service, *READS, public=public)


_CRUD = ("GET", "HEAD", "POST", "PATCH", "DELETE")

ROUTES: Mapping[str, Route] = {
    "/api/api-keys": Route(_to(OWN, "GET", "HEAD", "POST", "DELETE")),
    "/api/users": Route(_reads(OWN)),
    "/api/session": Route(_to(OWN, "POST", public=True) | _to(OWN, "DELETE")),
    "/api/me": Route(_reads(OWN)),
    "/api/email-providers": Route(_to("providers", *_CRUD)),
    "/api/email-domains": Route(_to("providers", *_CRUD)),
    "/api/emails": Route(_reads("analytics") | _to("sender", "POST", "PATCH", "DELETE")),
    "/api/suppressions": Route(_to("sender", *_CRUD)),
    "/api/templates": Route(_to("sender", *_CRUD)),
    "/api/privacy": Route(_to("sender", "POST")),
    "/api/unsubscribe": Route(_reads("tracking", public=True) | _to("tracking", "POST", public=True)),
    "/api/webhooks/ses": Route(_to("tracking", "POST", public=True)),
    "/api/webhooks/scaleway": Route(_to("tracking", "POST", public=True)),
    "/api/inbound": Route(_to("tracking", "POST")),
    "/api/events": Route(_reads("analytics")),
    "/api/audit-logs": Route(_reads("analytics")),
    "/api/balance": Route(_reads("analytics")),
    "/api/webhooks": Route(_to("analytics", *_CRUD)),
    "/api/local-inbox": Route(_reads("inbox")),
}

TRACK = Route(_reads("tracking", public=True))
"""`/api/emails/{id}/track/…`: the one route in the middle of another's prefix."""

# A URL library on the way may fold dot segments and backslashes: then the service would see another path than the
# one that was judged here. RFC 3986 section 3.3 names the characters; `%2e` is a dot, `%2f` and `%5c` are refused too.
_SANE = re.compile(rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/%|]*")
_FOLDED = re.compile(rb"(?i)/(?:\.|%2e){1,2}(?:/|$)|%2f|%5c|%00|%(?![0-9a-f]{2})")


def is_sane(raw_path: bytes) -> bool:
    """True if every HTTP implementation reads the path as we do."""
    return _SANE.fullmatch(raw_path) is not None and _FOLDED.search(raw_path) is None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """`services` are those that are there: a route to another one does not exist."""

    services: frozenset[str]
    routes: Mapping[str, Route] = field(default_factory=lambda: ROUTES)

    def find(self, method: str, path: str) -> Target | NoRoute:
        """The service that answers. `path` is percent-encoded, as received."""
        route = self._route(path)
        if route is None:
            return NoRoute()
        target = route.by_method.get(method)
        if target is not None and (target.service == OWN or target.service in self.services):
            return target
        return NoRoute() if target is not None else NoRoute(route.allow)

    def _route(self, path: str) -> Route | None:
        parts = path.split("/", 5)
        if len(parts) < 3 or parts[1] != "api":
            return None
        if len(parts) == 6 and parts[2] == "emails" and parts[4] == "track":
            return TRACK
        if len(parts) > 3 and (deep := self.routes.get(f"/api/{parts[2]}/{parts[3]}")) is not None:
            return deep
        return self.routes.get(f"/api/{parts[2]}")
