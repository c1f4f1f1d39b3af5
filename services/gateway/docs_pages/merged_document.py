"""The merged OpenAPI document: each service's own is asked for when somebody wants to read it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from libs.common.errors import UnavailableError
from services.gateway.docs_pages.merge_rules import DocumentsDifferError, merge
from services.gateway.ports import BrokenError, CutError, RefusedError, Service
from services.gateway.proxy.path_rules import Paths, paths_of

log = logging.getLogger(__name__)

_KEPT = 60.0
_LOOKED_AGAIN_AFTER = 5.0
"""Seconds: a path that seems not to exist may be one of a service that has just been upgraded."""
_PAUSE = 0.5
_PATIENCE = 5.0
_DESCRIPTION = (
    "Self-hosted transactional email. Authenticate with `Authorization: Bearer tk_…`. Every answer that is not 2xx is "
    "a problem document (RFC 9457)."
)


@dataclass(slots=True)
class MergedDocument:
    """`own` is the gateway's own document; `optional` services may be without one."""

    services: Mapping[str, Service]
    own: Callable[[], Awaitable[Mapping[str, Any]]]
    title: str
    version: str
    optional: frozenset[str] = frozenset({"inbox"})
    monotonic: Callable[[], float] = time.monotonic
    _last: dict[str, tuple[float, Mapping[str, Any]]] = field(default_factory=dict)
    _own_document: Mapping[str, Any] | None = None
    _merged: tuple[dict[str, int], bytes] | None = None
    paths: Paths | None = None
    """The merged document; None until every service has delivered its own once."""

    async def watch(self) -> None:
        """Read the documents until all are there; afterwards they are read again when somebody needs them."""
        while self.paths is None:
            await self.look()
            if self.paths is None:
                await asyncio.sleep(_PAUSE)

    async def look(self, *, older_than: float = _KEPT) -> None:
        """Bring `paths` up to date with documents that were read so many seconds ago or longer."""
        await asyncio.gather(*(self._renew(service, older_than) for service in self.services.values()))
        if all(name in self._last or name in self.optional for name in self.services):
            own = await self._own()
            self.paths = paths_of([own, *(document for _, document in self._last.values())])

    async def methods(self, path: str) -> tuple[frozenset[str], str | None]:
        """The methods of a path that seems not to exist as asked for, and the path that was meant, if any."""
        await self.look(older_than=_LOOKED_AGAIN_AFTER)
        if self.paths is None:
            return frozenset(), None
        return self.paths.methods(path), self.paths.meant(path)

    async def get(self) -> bytes:
        """The document as JSON. Raises UnavailableError while a service has never shown its own."""
        await self.look()
        missing = [name for name in self.services if name not in self._last and name not in self.optional]
        if missing:
            raise UnavailableError(f"No API description of {', '.join(missing)} has been seen yet.")
        documents = {"gateway": await self._own(), **{name: document for name, (_, document) in self._last.items()}}
        versions = {name: id(document) for name, document in documents.items()}
        if self._merged is None or self._merged[0] != versions:
            try:
                whole = merge(documents, title=self.title, version=self.version, description=_DESCRIPTION)
            except DocumentsDifferError as error:
                log.error("the API descriptions do not fit together: %s", error)  # noqa: TRY400 - the text says it all
                raise UnavailableError(f"The API descriptions do not fit together: {error}.") from error
            self._merged = (versions, orjson.dumps(whole))
        return self._merged[1]

    async def _own(self) -> Mapping[str, Any]:
        self._own_document = self._own_document or await self.own()
        return self._own_document

    async def _renew(self, service: Service, older_than: float) -> None:
        known = self._last.get(service.name)
        if known is not None and self.monotonic() - known[0] < older_than:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                fresh = await _fetch(service)
        except (RefusedError, BrokenError, CutError, TimeoutError, ValueError) as error:
            log.warning("no API description from %s: %r", service.name, error)
            return
        # The same document again stays the same object, so that it is merged once.
        kept = known[1] if known is not None and known[1] == fresh else fresh
        self._last[service.name] = (self.monotonic(), kept)


async def _fetch(service: Service) -> Mapping[str, Any]:
    connection = await service.connect()
    try:
        connection.begin(is_head=False)
        connection.write(b"GET /openapi.json HTTP/1.1\r\nhost: %b\r\n\r\n" % service.authority)
        await connection.head()
        body = b""
        while chunk := await connection.chunk():
            body += chunk
    finally:
        service.give_back(connection)
    if connection.status != 200:
        raise ValueError(f"status {connection.status}")
    document = orjson.loads(body)
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise ValueError("what came is no OpenAPI document")  # noqa: TRY004 - a wrong value from the wire
    return document
