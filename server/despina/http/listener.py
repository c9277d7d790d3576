"""A listening port with an application behind it, run by uvicorn."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp

from despina.errors import Unavailable
from despina.http.answering_connection import Lane
from despina.http.app import Application
from despina.http.application_connection import ApplicationConnection
from despina.http.auth import ApiKeys, KeyGate
from despina.http.body_gate import BodyGate
from despina.http.endpoints import endpoints
from despina.http.lane import InferLane
from despina.http.metrics import metrics_app
from despina.http.read_requests import ReadRequests
from despina.http.request_head import LaneRules, RequestHeads
from despina.http.routes import Routes
from despina.http.tls import TlsOptions, tls_options
from despina.telemetry.tracing.settings import OPENTELEMETRY, trace_mode

if TYPE_CHECKING:
    from despina.server import Server
    from despina.settings import Settings

NEVER_S = 86_400
"""Idle connections are kept; tritonserver has no idle timeout either."""

GRACE_S = 0.5
"""So long idle connections stay open at the end. A client that is busy asks once more, and is told to go elsewhere."""

ACCEPTED_AT_ONCE = 4
"""The loop accepts one connection a turn for each descriptor that listens, so a port has several. Requests that come
with connections of their own then make batches together. One that comes alone takes 12 % longer."""


class Listener:
    """One port with an application behind it."""

    def __init__(
        self, sock: socket.socket | None, config: uvicorn.Config, service: str = "HTTP", *, has_grace: bool = True
    ) -> None:
        """Without a socket only adopted connections are served. `service` is for error texts; without a grace idle
        connections are closed at once at the end."""
        self._service = service
        self._has_grace = has_grace
        self._sockets = [] if sock is None else [sock]
        self._uvicorn = uvicorn.Server(config)

    async def start(self) -> None:
        """Raises Unavailable when somebody who bound to the port at the same time listens already."""
        config = self._uvicorn.config
        config.load()
        for sock in self._sockets:
            self._listen(sock, config.backlog)
        self._sockets += [sock.dup() for sock in self._sockets for _ in range(1, ACCEPTED_AT_ONCE)]
        self._uvicorn.lifespan = config.lifespan_class(config)
        await self._uvicorn.startup(sockets=self._sockets)

    def _listen(self, sock: socket.socket, backlog: int) -> None:
        # The loop does it again; if it were the first, a failure would be one of a socket that is closed.
        address, port = sock.getsockname()[:2]
        try:
            sock.listen(backlog)
        except OSError as error:
            raise taken(address, port, self._service, error) from None

    def adopt(self, connection: socket.socket) -> None:
        """Serve a connection that was not made through the port."""
        config, state = self._uvicorn.config, self._uvicorn.server_state
        protocol_class: Any = config.http_protocol_class
        protocol = functools.partial(
            protocol_class, config=config, server_state=state, app_state=self._uvicorn.lifespan.state
        )
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(protocol, connection))
        tasks: set[asyncio.Task[Any]] = state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def stop(self) -> None:
        """Stop accepting, close connections with their next answer, idle ones after a while, and wait until all have
        their answers."""
        for server in self._uvicorn.servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        await self._take_leave()
        await self._uvicorn.shutdown(sockets=self._sockets)

    async def _take_leave(self) -> None:
        """A request may be on its way already, and its client could not know whether it counts."""
        connections: Any = self._uvicorn.server_state.connections
        gone = asyncio.Event()

        def one_is_gone() -> None:
            if not connections:
                gone.set()

        for connection in list(connections):
            connection.take_leave(one_is_gone)
        if connections and self._has_grace:
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await gone.wait()


def bind(address: str, port: int, reuse_port: bool, service: str) -> socket.socket:
    """A bound socket that does not listen yet, so that nobody connects while models load. Raises Unavailable when the
    port is taken."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise taken(address, port, service, error) from None
    return sock


def taken(address: str, port: int, service: str, error: OSError) -> Unavailable:
    """What is said when a port cannot be had."""
    why = "already in use" if error.errno == errno.EADDRINUSE else "cannot be bound"
    return Unavailable(
        f"failed to start {service} service: Unavailable - Socket '{address}:{port}' {why} ({error.strerror})"
    )


def http_listener(server: Server, sock: socket.socket) -> Listener:
    """The inference port. With several workers `sock` must come from `reserve_port`."""
    if server.settings.http_workers == 1:
        return application_listener(server, sock, tls_options(server.settings))
    from despina.http.workers.supervisor import WorkerListener  # late: one process has no use for any of it

    return WorkerListener(server, sock, application_listener(server, None, None))


def application_listener(server: Server, sock: socket.socket | None, tls: TlsOptions | None) -> Listener:
    """The lane, and behind it the application, behind a gate when there are API keys."""
    settings = server.settings
    budget = server.body_budget
    routes = Routes(endpoints(settings))
    heads = RequestHeads(lane_rules(settings))
    lane = Lane(server, heads, budget, server.outbox, reads=ReadRequests(server, routes))
    app: ASGIApp = Application(server, routes)
    if budget is not None:
        app = BodyGate(app, budget)
    if settings.api_key:
        app = KeyGate(app, ApiKeys(settings.api_key))
    return Listener(sock, uvicorn_config(app, settings, functools.partial(InferLane, lane=lane), tls))


def lane_rules(settings: Settings) -> LaneRules:
    """Which requests may take the lane."""
    restricted = settings.http_restricted_api.get("inference")
    return LaneRules(
        (restricted[0].lower().encode("latin-1"), restricted[1].encode("latin-1")) if restricted else None,
        settings.response_compression,
        ApiKeys(settings.api_key),
        closed=bool(settings.http_header_forward_pattern),
        trace_context=trace_mode(settings.trace_config) == OPENTELEMETRY,
    )


def metrics_listener(server: Server, sock: socket.socket) -> Listener:
    """The metrics port."""
    config = uvicorn_config(metrics_app(server.metrics), server.settings, ApplicationConnection)
    return Listener(sock, config, "Metrics", has_grace=False)


def uvicorn_config(app: ASGIApp, settings: Settings, protocol: Any, tls: TlsOptions | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=NEVER_S,
        timeout_graceful_shutdown=settings.exit_timeout_secs,
        **(tls or {}),
    )
