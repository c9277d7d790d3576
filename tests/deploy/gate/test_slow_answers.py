"""Answers that come too late, and clients that are slow to read them."""

import asyncio
import socket
import sys
from contextlib import suppress

import pytest
from tests.support.gates import (
    BASE,
    BegunUpstream,
    Upstream,
    ask,
    gate_before,
    get,
    ok,
    post,
    read_response,
)
from tests.support.loops import ON_BOTH_LOOPS

from despina.deploy.gate.gate import Gate
from despina.deploy.gate.limits import GateLimits
from despina.deploy.gate.upstreams import Address, Upstreams

pytestmark = ON_BOTH_LOOPS

LETS_WRITERS_GO_ON = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)


@pytest.fixture
def tells_writers(request: pytest.FixtureRequest) -> None:
    """The standard library's transports did not always tell whoever calls `writelines` that the other side reads
    nothing."""
    if LETS_WRITERS_GO_ON and "asyncio" in request.node.callspec.id:
        pytest.skip(f"the event loop of Python {sys.version.split()[0]} does not tell writers to wait")


@pytest.mark.usefixtures("tells_writers")
async def test_slow_reader_stops_the_upstream() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 400000000\r\n\r\n")
        try:
            while sent < 400_000_000:
                writer.write(bytes(1_000_000))
                sent += 1_000_000
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    gate = Gate(BASE, None, GateLimits())
    gate.upstreams = Upstreams(Address("127.0.0.1", server.sockets[0].getsockname()[1]), None)
    port = await gate.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    writer.write(get("/v2/x"))
    await reader.readuntil(b"\r\n\r\n")
    before = -1
    while before != sent:  # until everything between the two is full
        before = sent
        await asyncio.sleep(0.1)
    assert sent < 100_000_000
    writer.close()
    await gate.close(0)
    server.close()


async def test_slow_answer_gives_504() -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream, limits=GateLimits(answer_seconds=0.05)) as (gate, port):
        status, _, body = await ask(port, post("/v2/m/infer", b"1"))
        assert status == 504
        assert body == b'{"error": "no answer within 50 ms (scoringTimeoutMs)"}'
        assert gate.upstreams is not None
        assert gate.upstreams.in_flight == 0


async def test_answer_that_takes_too_long_when_it_has_begun_ends_the_connection() -> None:
    async with gate_before(BegunUpstream(), limits=GateLimits(answer_seconds=0.05)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/v2/x"))
        answer = await reader.readuntil(b"abc")
        with suppress(ConnectionError):
            answer += await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.endswith(b"\r\n\r\nabc")


async def test_time_for_an_answer_ends_with_it() -> None:
    async with gate_before(Upstream(), limits=GateLimits(answer_seconds=0.05)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(post("/v2/x", b"1"))
            assert (await read_response(reader))[::2] == (200, b"1")
            await asyncio.sleep(0.1)
        writer.close()


@pytest.mark.usefixtures("tells_writers")
async def test_client_that_reads_nothing_is_not_answered_on_and_on() -> None:
    upstream = Upstream(lambda head, body: ok(bytes(150_000)))
    async with gate_before(upstream) as (_, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            for asked in range(1, 300):
                client.sendall(get("/v2/x"))
                end = asyncio.get_running_loop().time() + 0.5
                while len(upstream.requests) < asked and asyncio.get_running_loop().time() < end:
                    await asyncio.sleep(0.001)
                if len(upstream.requests) < asked:
                    break
    assert len(upstream.requests) < 100  # 15 MB; what the kernel takes, and a little


async def test_an_answer_that_nobody_reads_gives_its_place_back() -> None:
    upstream = Upstream(lambda head, body: ok(bytes(40_000_000) if body == b"much" else body))
    limits = GateLimits(concurrent=1, queue_seconds=10, idle_seconds=0.2)
    async with gate_before(upstream, None, limits) as (_, port):
        with socket.create_connection(("127.0.0.1", port)) as idler:
            idler.sendall(post("/v2/m/infer", b"much"))
            await upstream.arrived.wait()
            assert (await asyncio.wait_for(ask(port, post("/v2/m/infer", b"1")), 5))[2] == b"1"


async def test_an_answer_that_is_read_slowly_arrives_whole() -> None:
    upstream = Upstream(lambda head, body: ok(bytes(2_000_000)))
    async with gate_before(upstream, None, GateLimits(idle_seconds=0.3)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 14)
        writer.write(post("/v2/m/infer", b"1"))
        await reader.readuntil(b"\r\n\r\n")
        left = 2_000_000
        while left:
            left -= len(await reader.readexactly(min(left, 100_000)))
            await asyncio.sleep(0.05)
        writer.close()
