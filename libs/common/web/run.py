"""Run a service: uvloop, uvicorn, one signal to drain, and a loud end when a background task dies."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

import uvicorn
import uvloop

from libs.common import logs
from libs.common.settings import Settings
from libs.common.web.loop_watch import watch_loop
from libs.common.web.service import ASGIApp

log = logging.getLogger(__name__)

DRAIN_SECONDS = 4
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 1_024


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: several of them share one process and one signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours."""
        yield


def http_server(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    keep_alive: int = _KEEP_ALIVE_SECONDS,
    protocol: type[asyncio.Protocol] | Literal["httptools"] = "httptools",
) -> uvicorn.Server:
    """A server that is not running yet. `protocol` is uvicorn's own, or one that makes a public door safer."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return _Server(config)


async def serve_also(app: ASGIApp, *, host: str, port: int) -> None:
    """A second port of the same process (health and metrics); ends when cancelled."""
    server = http_server(app, host=host, port=port)
    try:
        await server.serve()
    except asyncio.CancelledError:
        server.should_exit = True
        raise


@asynccontextmanager
async def background(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run tasks beside the body; one that raises cancels the body and ends the process, loudly."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def run(
    settings: Settings,
    open_service: Callable[[Any], AbstractAsyncContextManager[ASGIApp]],
    *,
    port: int | None = None,
    protocol: type[asyncio.Protocol] | Literal["httptools"] = "httptools",
) -> None:
    """Open the service, serve it until SIGTERM or SIGINT, close it. Exits 1 when something of it dies."""
    logs.configure()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with background(watch_loop()), open_service(settings) as app:
            server = http_server(app, host=settings.http_host, port=port or settings.http_port, protocol=protocol)

            def drain() -> None:
                log.info("draining")
                server.should_exit = True

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, drain)
            await server.serve()
            if not server.started:
                raise SystemExit(1)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except* Exception:
        log.exception("the service died")
        sys.exit(1)
    log.info("stopped")
