"""Bodies that are too large, or that nobody wants."""

import asyncio
import socket
from contextlib import suppress

import pytest
from tests.support.gates import (
    BegunUpstream,
    Upstream,
    answers,
    ask,
    at_work,
    gate_before,
    get,
    ok,
    post,
    read_response,
)
from tests.support.loops import ON_BOTH_LOOPS

from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import GateLimits

pytestmark = ON_BOTH_LOOPS


async def test_body_that_nobody_wants_is_not_asked_for() -> None:
    async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v2/x", bytes(10), "Expect: 100-continue")[:-10])
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_body_of_a_request_that_waited_too_long_is_read_all_the_same() -> None:
    """Who sends all of it before looking for an answer must find one."""

    def send_then_look(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(post("/v2/m/infer", bytes(8_000_000)))
            return client.recv(1 << 16)

    upstream = Upstream(held=True)
    async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=0.2)) as (_, port):
        first = await at_work(upstream, port)
        assert (await asyncio.to_thread(send_then_look, port)).startswith(b"HTTP/1.1 503 ")
        upstream.go_on.set()
        await first


@pytest.mark.parametrize("request_", [get("/v2/x", "Connection: close"), b"nonsense\r\n\r\n"])
async def test_last_answer_is_not_lost_for_what_comes_behind_its_request(request_: bytes) -> None:
    def send_then_look(port: int) -> list[bytes]:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(request_ + bytes(3_000_000))
            return list(iter(lambda: client.recv(1 << 16), b""))

    async with gate_before(Upstream(lambda head, body: ok(b"a" * 1000))) as (_, port):
        for _ in range(5):
            answer = b"".join(await asyncio.to_thread(send_then_look, port))
            status = b"200" if request_.startswith(b"GET") else b"400"
            assert answer.startswith(b"HTTP/1.1 " + status)


async def test_connection_whose_large_refused_body_stops_is_closed_soon() -> None:
    async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v2/x", bytes(100_000))[:-50_000])
        status, headers, _ = await read_response(reader)
        assert (status, headers[b"connection"]) == (401, b"close")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_body_over_the_limit_is_refused_and_the_answer_arrives() -> None:
    upstream = Upstream()
    async with gate_before(upstream, limits=GateLimits(body_bytes=1000)) as (_, port):
        status, headers, _ = await ask(port, post("/v2/x", bytes(5_000_000)))
        assert (status, headers[b"connection"]) == (413, b"close")
    assert upstream.requests == []


async def test_body_of_the_largest_size_passes() -> None:
    async with gate_before(Upstream(), limits=GateLimits(body_bytes=1000)) as (_, port):
        assert (await ask(port, post("/v2/x", bytes(1000))))[2] == bytes(1000)
        assert (await ask(port, post("/v2/x", bytes(1001))))[0] == 413


async def test_body_over_the_limit_that_came_while_its_request_waited_is_refused() -> None:
    upstream = Upstream(held=True)
    chunked = get("/v2/x", "Transfer-Encoding: chunked") + b"65\r\n" + bytes(0x65) + b"\r\n0\r\n\r\n"
    async with gate_before(upstream, None, GateLimits(body_bytes=100)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/v2/x") + chunked + get("/v2/y", "Connection: close"))
        await upstream.arrived.wait()
        upstream.go_on.set()
        found = await asyncio.wait_for(answers(reader), 5)
        writer.close()
    assert [status for status, _ in found] == [b"200", b"413", b"200"]
    assert len(upstream.requests) == 2


async def test_body_that_grows_too_large_when_the_answer_has_begun_ends_the_connection() -> None:
    async with gate_before(BegunUpstream(), None, GateLimits(body_bytes=100)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/v2/x", "Transfer-Encoding: chunked"))
        answer = await reader.readuntil(b"abc")
        writer.write(b"65\r\n" + bytes(0x65) + b"\r\n")
        with suppress(ConnectionError):
            answer += await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.endswith(b"\r\n\r\nabc")


async def test_id_of_the_largest_length_passes() -> None:
    async with gate_before(Upstream()) as (_, port):
        for length, status in ((100, 200), (101, 431)):
            assert (await ask(port, get("/v2/x", f"X-Request-Id: {'a' * length}")))[0] == status


async def test_connection_whose_refused_body_never_comes_is_closed() -> None:
    async with gate_before(Upstream(), Keys("first", "second"), GateLimits(idle_seconds=0.1)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("/v2/x", bytes(10))[:-10])
        assert (await read_response(reader))[0] == 401
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_chunked_body_over_the_limit_is_refused() -> None:
    upstream = Upstream()
    chunked = get("/v2/x", "Transfer-Encoding: chunked") + b"65\r\n" + bytes(0x65) + b"\r\n0\r\n\r\n"
    async with gate_before(upstream, None, GateLimits(body_bytes=100)) as (_, port):
        assert (await ask(port, chunked))[0] == 413
        assert (await ask(port, chunked.replace(b"65\r\n", b"64\r\n").replace(bytes(0x65), bytes(0x64))))[0] == 200
    assert [len(body) for _, body in upstream.requests] == [100]
