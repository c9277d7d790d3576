"""Who listens on a port."""

import asyncio
import socket
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
import uvloop
from tests.support.serving import free_port

from despina.errors import Unavailable
from despina.http.application_connection import ApplicationConnection
from despina.http.listener import ACCEPTED_AT_ONCE, Listener, bind


async def application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not needed here")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_of_two_that_are_bound_to_a_port_one_listens_and_the_other_is_told(address: str) -> None:
    port = free_port()
    config = uvicorn.Config(application, lifespan="off", log_config=None)
    with bind("127.0.0.1", port, False, "HTTP") as one, bind(address, port, False, "Metrics") as other:
        one.listen()
        with pytest.raises(Unavailable, match=f"failed to start Metrics service: .* '{address}:{port}' already"):
            asyncio.run(Listener(other, config, "Metrics").start())


def test_only_a_port_that_is_taken_is_said_to_be_in_use() -> None:
    with bind("127.0.0.1", 0, False, "HTTP") as listening:
        listening.listen()
        with pytest.raises(Unavailable, match=r"Socket '127\.0\.0\.1:\d+' already in use"):
            bind("127.0.0.1", listening.getsockname()[1], False, "HTTP")
    with pytest.raises(Unavailable, match=r"Socket '203\.0\.113\.1:0' cannot be bound \(Cannot assign"):
        bind("203.0.113.1", 0, False, "HTTP")


def test_connections_of_the_same_moment_are_accepted_together() -> None:
    async def most_in_a_turn() -> int:
        sock = bind("127.0.0.1", 0, False, "HTTP")
        address = sock.getsockname()
        config = uvicorn.Config(application, http=ApplicationConnection, lifespan="off", log_config=None)
        listener = Listener(sock, config, has_grace=False)
        await listener.start()
        accepted = [0]
        with ExitStack() as clients:
            for _ in range(2 * ACCEPTED_AT_ONCE):
                clients.enter_context(socket.create_connection(address))
            while accepted[-1] < 2 * ACCEPTED_AT_ONCE:
                await asyncio.sleep(0)
                accepted.append(len(listener._uvicorn.server_state.connections))
        await listener.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        return max(later - earlier for earlier, later in pairwise(accepted))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(most_in_a_turn()) == ACCEPTED_AT_ONCE
