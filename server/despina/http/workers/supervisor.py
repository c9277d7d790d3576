"""The front ends of a server: started, connected, replaced when one ends, and stopped."""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from despina.errors import Unavailable, Unsupported
from despina.http.listener import Listener, bind
from despina.http.workers.front_process import kill_when_silent, open_ends, start_process
from despina.http.workers.held_port import hold_port, share_port
from despina.http.workers.owner import OwnerChannel

if TYPE_CHECKING:
    from despina.server import Server
    from despina.settings import Settings

_log = logging.getLogger(__name__)

SOUND_S = 10.0
"""A front end that lived as long as this is replaced at once."""

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 5.0


def reserve_port(settings: Settings) -> socket.socket:
    """A socket that only keeps the port for the front ends. Raises Unavailable when somebody else has it, and
    Unsupported where there is no shared memory without a name."""
    if not sys.platform.startswith("linux"):
        raise Unsupported("--http-workers: more than one needs Linux")
    if settings.reuse_http_port:
        return bind(settings.http_address, settings.http_port, True, "HTTP")
    return hold_port(settings.http_address, settings.http_port)


def next_delay(delay_s: float, lived_s: float) -> float:
    """Seconds to wait before a front end that lived `lived_s` is replaced, when `delay_s` was the last such wait."""
    if lived_s >= SOUND_S:
        return 0.0
    return min(max(FIRST_DELAY_S, 2 * delay_s), LONGEST_DELAY_S)


class WorkerListener(Listener):
    """The HTTP port behind several processes. `application` serves what they relay; it has no port of its own."""

    def __init__(self, server: Server, reserved: socket.socket, application: Listener) -> None:
        self._server = server
        self._application = application
        self._reserved = reserved
        self._settings = replace(server.settings, http_port=reserved.getsockname()[1])
        self._channels: set[OwnerChannel] = set()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        server.logging.on_apply = self._log_changed

    async def start(self) -> None:
        """Return when all front ends listen. Raises Unavailable when one of them cannot."""
        share_port(self._reserved)
        await self._application.start()
        loop = asyncio.get_running_loop()
        listening = [loop.create_future() for _ in range(self._settings.http_workers)]
        self._tasks = [loop.create_task(self._keep_one(first)) for first in listening]
        await asyncio.gather(*listening)

    async def stop(self) -> None:
        """Front ends answer what they have accepted and exit; then nobody uses the application any more."""
        self._stopping.set()
        for channel in self._channels:
            channel.stop()
        await asyncio.gather(*self._tasks)
        await self._application.stop()

    def _log_changed(self) -> None:
        for channel in self._channels:
            channel.log(self._server.logging)

    async def _keep_one(self, first: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        delay_s = 0.0
        while not self._stopping.is_set():
            started = loop.time()
            end = await self._run_one(lambda: None if first.done() else first.set_result(None))
            if self._stopping.is_set():
                return
            if not first.done():
                first.set_exception(Unavailable(f"failed to start HTTP service: a front end {end}"))
                return
            delay_s = next_delay(delay_s, loop.time() - started)
            _log.error("HTTP front end %s; another one starts in %g s", end, delay_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _run_one(self, on_listening: Callable[[], None]) -> str:
        """One front end from start to end, and what became of it."""
        try:
            with ExitStack() as opened:
                process = await self._start_one(on_listening, opened)
                await process.communicate(pickle.dumps((self._settings, replace(self._server.logging))))
                return f"ended with {process.returncode}"
        except OSError as error:
            return f"could not be started ({error.strerror})"

    async def _start_one(self, on_listening: Callable[[], None], opened: ExitStack) -> asyncio.subprocess.Process:
        """A front end that waits for its settings; `opened` ends what is done for it here. Raises OSError."""
        loop = asyncio.get_running_loop()
        # While what it inherits is open here, nobody would notice that the front end has closed it.
        with ExitStack() as inherited:
            ends = open_ends(opened, inherited)
            channel = OwnerChannel(self._server, ends.requests, ends.results, on_listening)
            transport, _ = await loop.create_unix_connection(lambda: channel, sock=ends.channel)
            opened.callback(transport.close)
            process = await start_process(ends.inherited)
        loop.add_reader(ends.door.fileno(), self._let_in, ends.door)
        opened.callback(loop.remove_reader, ends.door.fileno())
        opened.callback(loop.create_task(kill_when_silent(process, channel)).cancel)
        self._channels.add(channel)
        opened.callback(self._channels.discard, channel)
        if self._stopping.is_set():
            channel.stop()
        return process

    def _let_in(self, door: socket.socket) -> None:
        """Serve the connection that a front end passes."""
        data, descriptors, _, _ = socket.recv_fds(door, 1, 1)
        if data and not descriptors:
            _log.error("a request could not be taken from an HTTP front end: too many open files")
        for descriptor in descriptors:
            self._application.adopt(socket.socket(fileno=descriptor))
        if not data:
            asyncio.get_running_loop().remove_reader(door.fileno())
