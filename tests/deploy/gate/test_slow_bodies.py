"""Bodies that come slowly, stop, or wait to be read."""

import asyncio

import pytest
from tests.support.gates import BegunUpstream, Upstream, ask, at_work, gate_before, post, read_response
from tests.support.loops import ON_BOTH_LOOPS

from despina.deploy.gate.limits import GateLimits

pytestmark = ON_BOTH_LOOPS


@pytest.mark.parametrize("came", [b"", b"abc"])
@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
async def test_body_that_stops_gives_408_and_frees_its_place(framing: str, came: bytes) -> None:
    limits = GateLimits(concurrent=1, idle_seconds=0.1)
    async with gate_before(Upstream(), None, limits) as (gate, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"%x\r\n%s\r\n" % (len(came), came) if came and "chunked" in framing else came
        writer.write(post("/v2/m/infer", b"", framing).replace(b"Content-Length: 0\r\n", b"") + body)
        status, headers, answered = await asyncio.wait_for(read_response(reader), 5)
        assert (status, headers[b"connection"]) == (408, b"close")
        assert b"nothing of the body came for 0.1 s: expected " in answered
        assert b", got %d bytes;" % len(came) in answered
        assert gate.concurrency.at_work == 0
        assert (await ask(port, post("/v2/m/infer", b"1")))[2] == b"1"
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_body_that_stops_when_the_answer_has_begun_ends_the_connection() -> None:
    async with gate_before(BegunUpstream(), None, GateLimits(concurrent=1, idle_seconds=0.1)) as (gate, port):
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ask(port, post("/v2/m/infer", bytes(10))[:-10]), 5)
        assert gate.concurrency.at_work == 0


async def test_slow_body_that_keeps_coming_is_waited_for() -> None:
    async with gate_before(Upstream(), None, GateLimits(idle_seconds=0.2)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v2/m/infer", b"12345678")[:-8])
        for number in range(1, 9):
            await asyncio.sleep(0.05)
            writer.write(b"%d" % number)
        assert (await asyncio.wait_for(read_response(reader), 5))[2] == b"12345678"
        writer.close()


async def test_body_that_is_not_read_is_not_held_against_the_client() -> None:
    upstream = Upstream(held=True)
    body = bytes(8_000_000)
    limits = GateLimits(concurrent=1, queue_seconds=10, idle_seconds=0.1)
    async with gate_before(upstream, None, limits) as (_, port):
        first = await at_work(upstream, port)
        second = asyncio.create_task(ask(port, post("/v2/m/infer", body)))
        await asyncio.sleep(0.3)
        upstream.go_on.set()
        assert [(await first)[2], (await second)[2]] == [b"1", body]
