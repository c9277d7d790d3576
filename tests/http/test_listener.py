"""Who listens on a port."""

import asyncio
from typing import Any

import pytest
import uvicorn
from tests.support.serving import free_port

from despina.errors import Unavailable
from despina.http.listener import Listener, bind


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
