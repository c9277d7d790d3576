import asyncio
from typing import Any

from despina.deploy.gate.routing import Destination
from despina.deploy.gate.upstreams import REUSE_SECONDS, Address, Upstreams


class Idle:
    """A connection that idles since some moment."""

    def __init__(self, since: float, *, is_open: bool = True) -> None:
        self.since = since
        self.open = is_open

    def usable(self, idle_since: float) -> bool:
        return self.open and self.since > idle_since

    def close(self) -> None:
        self.open = False


def upstreams(*idle: Any) -> Upstreams:
    made = Upstreams(Address("127.0.0.1", 1), None)
    for connection in idle:
        made.give_back(Destination.SERVER, connection)
    return made


async def test_connection_that_may_have_been_closed_is_not_taken() -> None:
    old, lost, good = Idle(100), Idle(100 + REUSE_SECONDS, is_open=False), Idle(100.1)
    made = upstreams(good, old, lost)
    taken: Any = made.take_idle(Destination.SERVER, 100 + REUSE_SECONDS)
    assert taken is good
    assert not old.open
    assert made.take_idle(Destination.SERVER, 100 + REUSE_SECONDS) is None


async def test_end_closes_what_idles() -> None:
    idle = [Idle(1), Idle(2)]
    made = upstreams(*idle)
    made.close()
    assert not any(each.open for each in idle)
    assert made.take_idle(Destination.SERVER, 1) is None


async def test_it_is_quiet_while_nobody_is_in() -> None:
    made = upstreams()
    await asyncio.wait_for(made.quiet(), 1)
    made.enter()
    made.enter()
    made.leave()
    quiet = asyncio.ensure_future(made.quiet())
    await asyncio.sleep(0)
    assert not quiet.done()
    made.leave()
    await asyncio.wait_for(quiet, 1)
