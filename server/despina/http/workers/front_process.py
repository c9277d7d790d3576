"""The process of a front end, as its owner starts it and looks after it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from despina.http.workers.arena import Arena, create_arena
from despina.http.workers.patience import BEAT_S
from despina_backends import interpreter

if TYPE_CHECKING:
    from despina.http.workers.owner import OwnerChannel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ends:
    """The owner's ends of all that connects it with a front end, and the file descriptors that this one inherits."""

    channel: socket.socket
    door: socket.socket
    requests: Arena
    results: Arena
    inherited: tuple[int, ...]


def open_ends(mine: ExitStack, inherited: ExitStack) -> Ends:
    """New ones. `mine` closes the door, `inherited` what is inherited; the channel is for the caller to close. Raises
    OSError."""
    my_door, door = socket.socketpair(type=socket.SOCK_SEQPACKET)
    mine.enter_context(my_door)
    inherited.enter_context(door)
    arenas: list[int] = []
    for name in ("requests", "results"):
        arenas.append(create_arena(name))
        inherited.callback(os.close, arenas[-1])
    requests, results = map(Arena, arenas)
    my_channel, channel = socket.socketpair()
    inherited.enter_context(channel)
    return Ends(my_channel, my_door, requests, results, (channel.fileno(), door.fileno(), *arenas))


async def start_process(descriptors: Sequence[int]) -> asyncio.subprocess.Process:
    """A front end that inherits `descriptors`. Raises OSError."""
    return await asyncio.create_subprocess_exec(
        *interpreter.command("despina.http.workers", *descriptors),
        stdin=asyncio.subprocess.PIPE,
        pass_fds=descriptors,
        env=interpreter.environment(),
    )


def processor_ticks(pid: int) -> int:
    """The processor time that a process has used, in ticks of the system (proc(5)); 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before may contain anything
    except OSError:
        return 0
    user, system = fields[11:13]
    return int(user) + int(system)


async def kill_when_silent(process: asyncio.subprocess.Process, channel: OwnerChannel) -> None:
    """Return when the front end has not answered for too long, and is killed."""
    while channel.ping(processor_ticks(process.pid)):
        await asyncio.sleep(BEAT_S)
    _log.error("HTTP front end %d does not answer and is killed", process.pid)
    with suppress(ProcessLookupError):
        process.kill()
