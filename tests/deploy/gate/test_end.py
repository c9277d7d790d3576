"""How connections end: those that rest, and all of them with the gate."""

import asyncio

import pytest
from tests.support.gates import Upstream, ask, at_work, gate_before, get, ok, post, read_response
from tests.support.loops import ON_BOTH_LOOPS

from despina.deploy.gate.limits import GateLimits

pytestmark = ON_BOTH_LOOPS


async def test_end_closes_connections_to_the_upstream_and_drops_what_takes_too_long() -> None:
    upstream = Upstream()
    serve, ended = upstream.serve, asyncio.Event()

    async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        ended.set()

    upstream.serve = watched  # type: ignore[method-assign]
    async with gate_before(upstream) as (gate, port):
        assert (await ask(port, get("/v2/x")))[0] == 200
        await gate.close(5)
        await asyncio.wait_for(ended.wait(), 5)
        port = await gate.listen("127.0.0.1", 0)
        upstream.go_on.clear()
        upstream.arrived.clear()
        asked = await at_work(upstream, port, get("/v2/x"))
        await gate.close(0.05)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(asked, 5)
        upstream.go_on.set()


@pytest.mark.parametrize("asked", [0, 2])
async def test_connection_that_rests_is_closed(asked: int) -> None:
    async with gate_before(Upstream(), limits=GateLimits(idle_seconds=0.1)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(asked):
            writer.write(get("/v2/x"))
            assert (await read_response(reader))[0] == 200
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_connection_does_not_rest_while_its_answer_is_awaited() -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream, limits=GateLimits(idle_seconds=0.05)) as (_, port):
        asked = await at_work(upstream, port, get("/v2/x"))
        await asyncio.sleep(0.15)
        upstream.go_on.set()
        assert (await asked)[0] == 200


async def test_end_closes_what_rests_at_once_and_the_others_with_their_answers() -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream) as (gate, port):
        resting, other = await asyncio.open_connection("127.0.0.1", port)
        asked = await at_work(upstream, port, get("/v2/x"))
        closing = asyncio.create_task(gate.close(20))
        assert await asyncio.wait_for(resting.read(), 5) == b""
        upstream.go_on.set()
        assert (await asked)[1][b"connection"] == b"close"
        await asyncio.wait_for(closing, 5)
        other.close()


async def test_end_waits_for_the_requests_that_wait_and_for_slow_readers() -> None:
    upstream = Upstream(lambda head, body: ok(bytes(8_000_000)) if b"/slow" in head else ok(body))
    async with gate_before(upstream, None, GateLimits(concurrent=1, queue_seconds=10)) as (gate, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
        writer.write(get("/v2/slow"))
        await upstream.arrived.wait()
        upstream.go_on.clear()
        upstream.arrived.clear()
        first = await at_work(upstream, port, post("/v2/x", b"1"))
        second = asyncio.create_task(ask(port, post("/v2/x", b"2")))
        while not gate.concurrency.waiting:
            await asyncio.sleep(0.01)
        closing = asyncio.create_task(gate.close(20))
        await asyncio.sleep(0.05)
        upstream.go_on.set()
        assert [(await first)[2], (await second)[2]] == [b"1", b"2"]
        await asyncio.sleep(0.1)
        answer = await reader.read()
        writer.close()
        assert len(answer.partition(b"\r\n\r\n")[2]) == 8_000_000
        await closing
