"""The server as a whole: what the endpoints see of it, and its life from start to exit.

`run` reads like a table of contents. The event loop's thread does sockets, decoding, scheduling and encoding; model
instances, loading and everything else that blocks have threads of their own.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from typing import Any, cast

import uvicorn
import uvloop

import despina
from despina.errors import Unavailable
from despina.http.app import make_app
from despina.http.endpoints import ALL as ENDPOINTS
from despina.http.lane import InferLane, Lane
from despina.http.request_head import LaneRules, RequestHeads
from despina.models.lifecycle import Models
from despina.models.loader import LoadedVersion
from despina.models.model import Model, SchedulingOptions
from despina.protocol.decode import Limits
from despina.protocol.messages import SharedMemory
from despina.scheduling.clock import LoopClock
from despina.scheduling.request_queue import QueueLimits
from despina.settings import Settings
from despina.shared_memory.regions import Regions
from despina.shared_memory.window import Window

_log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0002
"""How long a thread may keep the GIL while another wants it. Python's 5 ms would make the loop's thread and the instance
threads wait for each other far longer than a small model runs."""

INLINE_LIMIT_NS = 150_000
"""Batches expected to run no longer than this run on the loop's thread: below it, handing over to a thread costs more
than it gains."""


class Server:
    """What the endpoints see: settings, models and state."""

    def __init__(self, settings: Settings, clock: LoopClock) -> None:
        self.settings = settings
        self.version = despina.__version__
        self.limits = Limits(settings.http_max_input_size)
        self.is_live = False
        self.is_exiting = False
        self._clock = clock
        self._scheduling = SchedulingOptions(
            QueueLimits(settings.max_queue_rows, settings.max_queue_bytes),
            INLINE_LIMIT_NS,
            int(os.environ.get("TRITONSERVER_DELAY_SCHEDULER", "0") or 0),
        )
        self.models: Models[Model] = Models(settings, self._make_model)
        self.shared_memory = Regions()

    def _make_model(self, loaded: LoadedVersion) -> Model:
        return Model(loaded, self._clock, self._scheduling)

    def find_region(self, place: SharedMemory) -> Window:
        """A piece of a registered shared memory region. Raises NotFound, InvalidArgument."""
        return self.shared_memory.find(place.region, place.offset, place.byte_size)

    @property
    def is_ready(self) -> bool:
        return self.is_live and self.models.is_ready(self.settings.strict_readiness)

    def check_not_exiting(self) -> None:
        if self.is_exiting:
            raise Unavailable("Server exiting")


class Listener:
    """One port with an application behind it."""

    def __init__(self, sock: socket.socket, config: uvicorn.Config) -> None:
        self._socket = sock
        self._uvicorn = uvicorn.Server(config)

    async def start(self) -> None:
        config = self._uvicorn.config
        config.load()
        self._uvicorn.lifespan = config.lifespan_class(config)
        await self._uvicorn.startup(sockets=[self._socket])

    async def stop(self) -> None:
        """Stop accepting, close idle connections, wait until the others have their answers."""
        await self._uvicorn.shutdown(sockets=[self._socket])


def bind(address: str, port: int, reuse_port: bool, service: str) -> socket.socket:
    """A bound socket that does not listen yet. Raises Unavailable when the port is taken."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise Unavailable(
            f"failed to start {service} service: Unavailable - Socket '{address}:{port}' already in use ({error.strerror})"
        ) from None
    return sock


def http_listener(server: Server, sock: socket.socket) -> Listener:
    """The inference port."""
    settings = server.settings
    restricted = settings.http_restricted_api.get("inference")
    rules = LaneRules(
        (restricted[0].lower().encode("latin-1"), restricted[1].encode("latin-1")) if restricted else None,
        settings.response_compression,
        closed=bool(settings.http_header_forward_pattern or settings.api_key),
    )
    lane = Lane(server, RequestHeads(rules))
    protocol = functools.partial(InferLane, lane=lane)
    return Listener(sock, _uvicorn_config(make_app(server, ENDPOINTS), settings, cast("Any", protocol)))


def _uvicorn_config(app: Callable[..., Awaitable[None]], settings: Settings, protocol: Any) -> uvicorn.Config:
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
        timeout_keep_alive=86_400,
        timeout_graceful_shutdown=settings.exit_timeout_secs,
        h11_max_incomplete_event_size=None,
    )


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


async def serve(settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(settings, LoopClock(loop))
    try:
        sock = bind(settings.http_address, settings.http_port, settings.reuse_http_port, "HTTP")
    except Unavailable as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1
    with closing(sock):
        report = await server.models.start()
        _log.info("models\n%s", report.table())
        if not report.succeeded and settings.exit_on_error:
            await server.models.stop(0)
            print("error: creating server: Internal - failed to load all models", file=sys.stderr)
            return 1
        server.is_live = True
        listeners = [http_listener(server, sock)]
        for listener in listeners:
            await listener.start()
        _log.info("Started HTTPService at %s:%d", settings.http_address, settings.http_port)
        await stop.wait()
        return await shut_down(server, listeners)


async def shut_down(server: Server, listeners: Sequence[Listener]) -> int:
    """Readiness fails first, then everything accepted is answered, then the models go. Returns the exit status."""
    server.is_exiting = True
    _log.info("Waiting for in-flight requests to complete.")
    budget = server.settings.exit_timeout_secs
    try:
        async with asyncio.timeout(budget):
            await asyncio.gather(*(listener.stop() for listener in listeners))
            done = await server.models.stop(budget)
    except TimeoutError:
        done = False
    if not done:
        _log.error("Exit timeout expired. Exiting immediately.")
        return 1
    return 0
