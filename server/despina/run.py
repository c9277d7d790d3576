"""The server's life from start to exit.

`serve` reads like a table of contents. The event loop's thread does sockets, decoding, scheduling and encoding; model
instances, loading and everything else that blocks have threads of their own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import uvloop

from despina.errors import DespinaError, Internal, Unavailable
from despina.http.listener import Listener, bind, http_listener, metrics_listener
from despina.http.open_files import allow_many
from despina.memory import keep_freed_memory
from despina.models.startup_table import startup_table
from despina.repository.bare import as_repositories
from despina.repository.scan import tell_stray_files
from despina.repository.temporary import remove_abandoned
from despina.scheduling.clock import LoopClock
from despina.server import Server
from despina.settings import Settings
from despina.telemetry.logging import log_table

if TYPE_CHECKING:
    from despina.grpc.listener import GrpcListener

_log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0002
"""How long a thread may keep the GIL while another wants it. Python's 5 ms would make the loop's thread and the
instance threads wait for each other far longer than a small model runs."""

_SERVICES = {"HTTP": "HTTPService", "GRPC": "GRPCInferenceService", "Metrics": "Metrics Service"}

LEAST_FOR_TRACES_S = 1.0
"""So long traces may take to be written at the end, even when requests have used up all the time there was."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    keep_freed_memory()
    allow_many()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


async def serve(settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        with ExitStack() as opened:
            remove_abandoned()
            settings = served_settings(settings, opened)
            server = Server(settings, LoopClock(loop))
            server.logging.apply()
            opened.callback(server.logging.close)
            if settings.model_name is not None:
                _log.warning("--model-name has no effect: it names a model file, and the repositories are none")
            tell_stray_files(settings.model_repository)
            bound = bind_ports(settings, opened)
            if await comes_first(stop, load_models(server)):
                opened.close()
                leave(0)
            listeners = await open_ports(server, bound)
            await stop.wait()
            return await shut_down(server, listeners)
    except DespinaError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 1


async def comes_first(stop: asyncio.Event, loading: Coroutine[Any, Any, None]) -> bool:
    """Whether the server is to stop before its models are loaded. Nothing has been accepted by then, and loading may
    take many minutes. Raises what `loading` raises."""
    stopping = asyncio.create_task(stop.wait())
    loaded = asyncio.create_task(loading)
    await asyncio.wait((stopping, loaded), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if loaded.done():
        await loaded
        return False
    _log.info("Exiting before all models are loaded.")
    return True


def leave(status: int) -> NoReturn:
    """End the process. A thread inside ONNX Runtime cannot be ended, and an orderly exit of the interpreter would wait
    for it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def served_settings(settings: Settings, opened: ExitStack) -> Settings:
    """The settings with repositories in place of bare models, for as long as `opened` is. A `model_name` that is still
    there afterwards named none of them."""
    repositories = opened.enter_context(as_repositories(settings.model_repository, settings.model_name))
    if repositories == settings.model_repository:
        return settings
    return replace(settings, model_repository=repositories, model_name=None, kserve=True)


def bind_ports(settings: Settings, sockets: ExitStack) -> dict[str, socket.socket]:
    """Take the ports before anything is loaded: a port that is taken should not cost minutes. Raises Unavailable."""
    bound: dict[str, socket.socket] = {}
    if settings.allow_http:
        bound["HTTP"] = bind_http(settings)
        sockets.callback(bound["HTTP"].close)
    if settings.allow_metrics:
        bound["Metrics"] = bind(settings.metrics_address, settings.metrics_port, False, "Metrics")
        sockets.callback(bound["Metrics"].close)
    if settings.allow_grpc and (sock := bind_grpc(settings)) is not None:
        sockets.callback(sock.close)
        bound = {"GRPC": sock, **bound}  # the first that tritonserver starts
    return bound


def bind_grpc(settings: Settings) -> socket.socket | None:
    """None where the port is taken, or gRPC is not installed, and nobody has asked for it. Raises Unavailable."""
    if find_spec("hpack") is None:
        do_without_grpc(settings, Unavailable("hpack is not installed"), "pip install 'despina[grpc]'")
        return None
    try:
        return bind(settings.grpc_address, settings.grpc_port, settings.reuse_grpc_port, "GRPC")
    except Unavailable as error:
        do_without_grpc(settings, error)
        return None


def do_without_grpc(settings: Settings, error: Unavailable, advice: str = "name another port with --grpc-port") -> None:
    """Raises the error where gRPC was asked for."""
    if settings.grpc_required:
        raise error
    _log.warning("gRPC is not served: %s. To have it, %s", error.message, advice)


def bind_http(settings: Settings) -> socket.socket:
    if settings.http_workers == 1:
        return bind(settings.http_address, settings.http_port, settings.reuse_http_port, "HTTP")
    from despina.http.workers.supervisor import reserve_port  # late: one process has no use for any of it

    return reserve_port(settings)


async def load_models(server: Server) -> None:
    """Load what the model control mode asks for and say what came of it. Raises Internal when something failed and the
    settings say that this ends the server. Without that the ports open all the same, but the server is not live."""
    try:
        report = await server.models.start()
    except DespinaError as error:
        if server.settings.exit_on_error:
            raise type(error)(f"creating server: {error.word} - {error.message}") from None
        _log.error("creating server: %s - %s", error.word, error.message)
        return
    log_table(_log, startup_table(report.rows))
    if not report.succeeded and server.settings.exit_on_error:
        await server.models.stop(0)
        raise Internal("creating server: Internal - failed to load all models")
    # What was made up to here lives as long as the server: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    server.is_live = True


async def open_ports(server: Server, bound: dict[str, socket.socket]) -> list[Listener | GrpcListener]:
    """Listen on the bound ports."""
    listeners: list[Listener | GrpcListener] = []
    for service, sock in bound.items():
        listener = make_listener(server, service, sock)
        try:
            await listener.start()
        except Unavailable as error:
            if service != "GRPC":
                raise
            do_without_grpc(server.settings, error)
            continue
        listeners.append(listener)
        _log.info("Started %s at %s:%d", _SERVICES[service], *sock.getsockname()[:2])
    return listeners


def make_listener(server: Server, service: str, sock: socket.socket) -> Listener | GrpcListener:
    if service == "HTTP":
        return http_listener(server, sock)
    if service == "Metrics":
        return metrics_listener(server, sock)
    from despina.grpc.listener import GrpcListener  # late: it brings protobuf's description of the service

    return GrpcListener(server, sock)


async def shut_down(server: Server, listeners: Sequence[Listener | GrpcListener]) -> int:
    """Readiness fails first, then everything accepted is answered, then the models go. Returns the exit status."""
    server.is_exiting = True
    _log.info("Waiting for in-flight requests to complete.")
    budget = server.settings.exit_timeout_secs
    end_s = monotonic() + budget
    try:
        async with asyncio.timeout(budget):
            await asyncio.gather(*(listener.stop() for listener in listeners))
            done = await server.models.stop(budget)
    except TimeoutError:
        done = False
    written = await traces_written(server, max(end_s - monotonic(), LEAST_FOR_TRACES_S))
    if not done:
        _log.error("Exit timeout expired. Exiting immediately.")
        leave(1)
    if not written:
        _log.warning("Exit timeout expired. What is left of the traces is lost.")
        leave(0)
    return 0


async def traces_written(server: Server, timeout_s: float) -> bool:
    """Write what is kept of traces. False when that was not over in time: the collector of spans may not answer."""
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.to_thread(server.trace.close)
    except TimeoutError:
        return False
    return True
