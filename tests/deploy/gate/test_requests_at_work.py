"""How many requests may be at work, and who gets a place that comes free."""

import asyncio

from tests.support.gates import Upstream, ask, at_work, gate_before, get, post
from tests.support.loops import ON_BOTH_LOOPS

from despina.deploy.gate.concurrency import Turn
from despina.deploy.gate.limits import GateLimits

pytestmark = ON_BOTH_LOOPS


async def test_limit_queues_then_refuses() -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=0.05)) as (gate, port):
        first = await at_work(upstream, port)
        status, _, body = await ask(port, post("/v2/m/infer", b"2"))
        assert status == 503
        assert b"no free place within 50 ms" in body
        gate.set_limits(GateLimits(concurrent=None))
        upstream.go_on.set()
        assert (await first)[2] == b"1"
        assert (gate.concurrency.at_work, gate.concurrency.waiting) == (0, 0)


async def test_request_that_waits_gets_the_place_that_comes_free() -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=30)) as (gate, port):
        first = await at_work(upstream, port)
        second = asyncio.create_task(ask(port, post("/v2/m/infer", b"2")))
        while gate.concurrency.waiting == 0:
            await asyncio.sleep(0)
        upstream.go_on.set()
        assert ((await first)[2], (await second)[2]) == (b"1", b"2")
        assert gate.concurrency.at_work == 0


async def test_health_passes_while_no_more_may_work() -> None:
    upstream = Upstream()
    async with gate_before(upstream, limits=GateLimits(concurrent=1)) as (gate, port):
        gate.concurrency.ask(Turn(lambda: None, lambda: None))
        assert (await ask(port, get("/v2/health/ready")))[0] == 200


async def test_limits_that_stay_leave_everybody_where_he_is() -> None:
    async with gate_before(Upstream(), limits=GateLimits(concurrent=1)) as (gate, _):
        before = gate.concurrency
        gate.set_limits(GateLimits(concurrent=1))
        assert gate.concurrency is before
        gate.set_limits(GateLimits(concurrent=2))
        assert gate.concurrency is not before


async def test_client_that_leaves_while_it_waits_takes_no_place() -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=30)) as (gate, port):
        first = await at_work(upstream, port)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v2/m/infer", b"2"))
        while gate.concurrency.waiting == 0:
            await asyncio.sleep(0)
        writer.close()
        while gate.concurrency.waiting:
            await asyncio.sleep(0)
        upstream.go_on.set()
        assert (await first)[2] == b"1"
        assert (await ask(port, post("/v2/m/infer", b"3")))[2] == b"3"
        assert gate.concurrency.at_work == 0
    assert [body for _, body in upstream.requests] == [b"1", b"3"]


async def test_client_that_leaves_frees_its_place() -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream, limits=GateLimits(concurrent=1)) as (gate, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v2/m/infer", b"1"))
        await upstream.arrived.wait()
        writer.close()
        assert gate.upstreams is not None
        await gate.upstreams.quiet()
        assert gate.concurrency.at_work == 0
        upstream.go_on.set()
