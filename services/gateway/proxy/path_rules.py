"""Which paths exist, with which methods, as the services describe themselves; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_METHODS = frozenset({"get", "post", "put", "patch", "delete"})
_API = "/api"

Template = tuple[str | None, ...]
"""The segments of a path; None stands for a parameter."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Every path template with its methods in capitals, by its number of segments."""

    by_length: Mapping[int, Mapping[Template, frozenset[str]]] = field(default_factory=dict)

    def methods(self, path: str) -> frozenset[str]:
        """The methods of all templates that match a path; none when there is no such path."""
        segments = tuple(path.split("/"))
        found: frozenset[str] = frozenset()
        for template, methods in self.by_length.get(len(segments), {}).items():
            if all(part is None or part == segment for part, segment in zip(template, segments, strict=True)):
                if "" in segments[1:]:
                    continue  # an empty segment is no parameter
                found |= methods
        return found

    def meant(self, path: str) -> str | None:
        """A path that exists and differs by a forgotten `/api`, a doubled slash or one at the end; else None."""
        tidy = "/" + "/".join(segment for segment in path.split("/") if segment)
        candidates = [tidy] if tidy.startswith(f"{_API}/") else [_API + tidy]
        return next((each for each in candidates if each != path and self.methods(each)), None)


def paths_of(documents: Iterable[Mapping[str, Any]]) -> Paths:
    """The paths of OpenAPI documents."""
    by_length: dict[int, dict[Template, frozenset[str]]] = {}
    for document in documents:
        for path, operations in document.get("paths", {}).items():
            template = tuple(None if part.startswith("{") else part for part in path.split("/"))
            methods = frozenset(name.upper() for name in operations if name in _METHODS)
            if "GET" in methods:
                methods |= {"HEAD"}
            known = by_length.setdefault(len(template), {})
            known[template] = known.get(template, frozenset()) | methods
    return Paths(by_length)
