"""The process of one front end."""

from __future__ import annotations

import asyncio
import gc
import pickle
import signal
import socket
import sys
from functools import partial
from typing import Any

import uvloop

from despina.http.lane import Lane
from despina.http.listener import Listener, bind, lane_rules, uvicorn_config
from despina.http.request_head import RequestHeads
from despina.http.tls import tls_options
from despina.http.workers.arena import Arena
from despina.http.workers.front_channel import FrontChannel
from despina.http.workers.front_lane import FrontLane, FrontServer
from despina.http.workers.relay import Door, Relay
from despina.protocol.decode import Limits
from despina.settings import Settings
from despina.telemetry.logging import LogSettings


def main(channel: int, door: int, requests: int, results: int) -> None:
    """Run a front end on these inherited file descriptors; its settings, and those of its log, come on the standard
    input."""
    # It is the owner who is asked to end, even where a signal goes to every process of a group.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    settings: Settings
    log: LogSettings
    settings, log = pickle.load(sys.stdin.buffer)
    log.apply()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, channel, door, Arena(requests), Arena(results)))


async def serve(settings: Settings, channel: int, door: int, requests: Arena, results: Arena) -> None:
    """Accept and answer until the owner says stop."""
    to_owner = FrontChannel(requests, results)
    sock = socket.socket(fileno=channel)
    await asyncio.get_running_loop().create_unix_connection(lambda: to_owner, sock=sock)
    to_application = Door(socket.socket(fileno=door))
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
    lane = Lane(server, RequestHeads(lane_rules(settings)))
    protocol: Any = partial(FrontLane, lane=lane, channel=channel)
    return Listener(sock, uvicorn_config(Relay(door), settings, protocol, tls_options(settings)))
