"""The process of one front end."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import pickle
import signal
import socket
import sys
from functools import partial
from typing import Any

import uvloop

from despina.http.answering_connection import Lane
from despina.http.body_budget import body_budget
from despina.http.listener import Listener, bind, lane_rules, uvicorn_config
from despina.http.request_head import RequestHeads
from despina.http.tls import tls_options
from despina.http.workers.arena import Arena
from despina.http.workers.front_channel import FrontChannel
from despina.http.workers.front_lane import FrontLane, FrontServer
from despina.http.workers.relay import Door, Relay
from despina.memory import keep_freed_memory
from despina.protocol.decode import Limits
from despina.settings import Settings
from despina.telemetry.logging import LogSettings

_PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>."""


def main(channel: int, door: int, requests: int, results: int) -> None:
    """Run a front end on these inherited file descriptors; its settings, and those of its log, come on the standard
    input."""
    # A process that hangs does not notice that its owner is gone, and would keep the port.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    settings: Settings
    log: LogSettings
    keep_freed_memory()
    settings, log = pickle.load(sys.stdin.buffer)
    log.apply()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        to_owner = FrontChannel(Arena(requests), Arena(results), log)
        runner.run(serve(settings, to_owner, socket.socket(fileno=channel), Door(socket.socket(fileno=door))))


async def serve(settings: Settings, to_owner: FrontChannel, channel: socket.socket, to_application: Door) -> None:
    """Accept and answer until the owner says stop."""
    await asyncio.get_running_loop().create_unix_connection(lambda: to_owner, sock=channel)
    listener = front_listener(settings, to_owner, to_application)
    await listener.start()
    gc.collect()
    gc.freeze()
    to_owner.listening()
    await to_owner.stopping.wait()
    await listener.stop()
    to_application.close()


def front_listener(settings: Settings, channel: FrontChannel, door: Door) -> Listener:
    """The inference port of this process."""
    sock = bind(settings.http_address, settings.http_port, True, "HTTP")
    server: Any = FrontServer(Limits(settings.http_max_input_size))
    lane = Lane(server, RequestHeads(lane_rules(settings)), body_budget(settings), channel.outbox)
    protocol: Any = partial(FrontLane, lane=lane, channel=channel)
    return Listener(sock, uvicorn_config(Relay(door), settings, protocol, tls_options(settings)))
