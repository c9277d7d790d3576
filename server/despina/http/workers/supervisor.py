"""The front ends of a server: started, connected, replaced when one ends, and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from despina.errors import Unavailable, Unsupported
from despina.http.listener import Listener, bind
from despina.http.workers.arena import Arena, create_arena
from despina.http.workers.owner import OwnerChannel

if TYPE_CHECKING:
    from despina.server import Server
    from despina.settings import Settings

_log = logging.getLogger(__name__)

SOUND_S = 10.0
"""A front end that lived as long as this is replaced at once."""

FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 5.0


def reserve_port(settings: Settings) -> socket.socket:
    """A socket that only keeps the port for the front ends. Raises Unavailable when somebody else listens on it, and
    Unsupported where there is no shared memory without a name."""
    if not sys.platform.startswith("linux"):
        raise Unsupported("--http-workers: more than one needs Linux")
    address, port = settings.http_address, settings.http_port
    if not settings.reuse_http_port:
        # With SO_REUSEPORT it would be shared with any other server of this user that allows it.
        bind(address, port, False, "HTTP").close()
    return bind(address, port, True, "HTTP")


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
        self._settings = replace(server.settings, http_port=reserved.getsockname()[1])
        self._channels: set[OwnerChannel] = set()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Return when all front ends listen. Raises Unavailable when one of them cannot."""
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

    async def _keep_one(self, first: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        delay_s = 0.0
        while not self._stopping.is_set():
            started = loop.time()
            status = await self._run_one(first)
            if self._stopping.is_set():
                return
            if not first.done():
                first.set_exception(Unavailable(f"failed to start HTTP service: a front end ended with {status}"))
                return
            delay_s = next_delay(delay_s, loop.time() - started)
            _log.error("HTTP front end ended with %d; another one starts in %g s", status, delay_s)
            await self._wait(delay_s)

    async def _wait(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _run_one(self, first: asyncio.Future[None]) -> int:
        """One front end from start to end; its exit status."""
        loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            my_door, door = (opened.enter_context(sock) for sock in socket.socketpair(type=socket.SOCK_SEQPACKET))
            my_channel, channel = socket.socketpair()
            opened.enter_context(channel)
            arenas = [create_arena(name) for name in ("requests", "results")]
            for descriptor in arenas:
                opened.callback(os.close, descriptor)
            requests, results = map(Arena, arenas)
            owner = OwnerChannel(
                self._server, requests, results, lambda: None if first.done() else first.set_result(None)
            )
            transport, _ = await loop.create_unix_connection(lambda: owner, sock=my_channel)
            opened.callback(transport.close)
            process = await start_process([channel.fileno(), door.fileno(), *arenas])
            # While this end is open here, nobody would notice that the front end has closed it.
            channel.close()
            loop.add_reader(my_door.fileno(), self._let_in, my_door)
            opened.callback(loop.remove_reader, my_door.fileno())
            self._channels.add(owner)
            opened.callback(self._channels.discard, owner)
            await process.communicate(pickle.dumps((self._settings, replace(self._server.logging))))
            assert process.returncode is not None
            return process.returncode

    def _let_in(self, door: socket.socket) -> None:
        """Serve the connection that a front end passes."""
        data, descriptors, _, _ = socket.recv_fds(door, 1, 1)
        for descriptor in descriptors:
            self._application.adopt(socket.socket(fileno=descriptor))
        if not data:
            asyncio.get_running_loop().remove_reader(door.fileno())


async def start_process(descriptors: Sequence[int]) -> asyncio.subprocess.Process:
    """A front end that inherits `descriptors`, and imports what this process would import: `-m` alone would look in the
    working directory first."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "despina.http.workers", *map(str, descriptors)),
        stdin=asyncio.subprocess.PIPE,
        pass_fds=descriptors,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
