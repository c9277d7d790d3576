"""How many, how large and how long: requests at work, bodies, and clients and upstreams that are slow or gone."""

import asyncio
import socket
from contextlib import suppress

import pytest
from tests.support.gates import BASE, Upstream, answers, ask, gate_before, get, ok, post, read_response, run

from despina.deploy.gate.concurrency import Turn
from despina.deploy.gate.gate import Gate
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import GateLimits
from despina.deploy.gate.upstreams import Address, Upstreams


def test_slow_reader_stops_the_upstream() -> None:
    async def scenario() -> None:
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
        gate.switch(Upstreams(Address("127.0.0.1", server.sockets[0].getsockname()[1]), None))
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

    run(scenario, stops_writing=True)


def test_limit_queues_then_refuses() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=0.05)) as (gate, port):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await upstream.arrived.wait()
            status, _, body = await ask(port, post("/v2/m/infer", b"2"))
            assert status == 503
            assert b"no free place within 50 ms" in body
            gate.set_limits(GateLimits(concurrent=None))
            upstream.hold.set()
            assert (await first)[2] == b"1"
            assert (gate.concurrency.at_work, gate.concurrency.waiting) == (0, 0)

    run(scenario)


def test_request_that_waits_gets_the_place_that_comes_free() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=30)) as (gate, port):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await upstream.arrived.wait()
            second = asyncio.create_task(ask(port, post("/v2/m/infer", b"2")))
            while gate.concurrency.waiting == 0:
                await asyncio.sleep(0)
            upstream.hold.set()
            assert ((await first)[2], (await second)[2]) == (b"1", b"2")
            assert gate.concurrency.at_work == 0

    run(scenario)


def test_health_passes_while_no_more_may_work() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream, limits=GateLimits(concurrent=1)) as (gate, port):
            gate.concurrency.ask(Turn(lambda: None, lambda: None))
            assert (await ask(port, get("/v2/health/ready")))[0] == 200

    run(scenario)


def test_slow_answer_gives_504() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(answer_seconds=0.05)) as (gate, port):
            status, _, body = await ask(port, post("/v2/m/infer", b"1"))
            assert status == 504
            assert body == b'{"error": "no answer within 50 ms (scoringTimeoutMs)"}'
            assert gate.upstreams is not None
            assert gate.upstreams.in_flight == 0

    run(scenario)


def test_end_closes_connections_to_the_upstream_and_drops_what_takes_too_long() -> None:
    async def scenario() -> None:
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
            upstream.hold = asyncio.Event()
            upstream.arrived.clear()
            asked = asyncio.create_task(ask(port, get("/v2/x")))
            await upstream.arrived.wait()
            await gate.close(0.05)
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(asked, 5)
            upstream.hold.set()

    run(scenario)


def test_limits_that_stay_leave_everybody_where_he_is() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), limits=GateLimits(concurrent=1)) as (gate, _):
            before = gate.concurrency
            gate.set_limits(GateLimits(concurrent=1))
            assert gate.concurrency is before
            gate.set_limits(GateLimits(concurrent=2))
            assert gate.concurrency is not before

    run(scenario)


@pytest.mark.parametrize("asked", [0, 2])
def test_connection_that_rests_is_closed(asked: int) -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), limits=GateLimits(idle_seconds=0.1)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(asked):
                writer.write(get("/v2/x"))
                assert (await read_response(reader))[0] == 200
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    run(scenario)


def test_connection_does_not_rest_while_its_answer_is_awaited() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(idle_seconds=0.05)) as (_, port):
            asked = asyncio.create_task(ask(port, get("/v2/x")))
            await upstream.arrived.wait()
            await asyncio.sleep(0.15)
            upstream.hold.set()
            assert (await asked)[0] == 200

    run(scenario)


def test_end_closes_what_rests_at_once_and_the_others_with_theiranswers() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream) as (gate, port):
            resting, other = await asyncio.open_connection("127.0.0.1", port)
            asked = asyncio.create_task(ask(port, get("/v2/x")))
            await upstream.arrived.wait()
            closing = asyncio.create_task(gate.close(20))
            assert await asyncio.wait_for(resting.read(), 5) == b""
            upstream.hold.set()
            assert (await asked)[1][b"connection"] == b"close"
            await asyncio.wait_for(closing, 5)
            other.close()

    run(scenario)


def test_body_that_nobody_wants_is_not_asked_for() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/v2/x", bytes(10), "Expect: 100-continue")[:-10])
            answer = await reader.readuntil(b"\r\n\r\n")
            writer.close()
        assert answer.startswith(b"HTTP/1.1 401 ")

    run(scenario)


def test_body_of_a_request_that_waited_too_long_is_read_all_the_same() -> None:
    """Who sends all of it before looking for an answer must find one."""

    def send_then_look(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(post("/v2/m/infer", bytes(8_000_000)))
            return client.recv(1 << 16)

    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=0.2)) as (_, port):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await upstream.arrived.wait()
            assert (await asyncio.to_thread(send_then_look, port)).startswith(b"HTTP/1.1 503 ")
            upstream.hold.set()
            await first

    run(scenario)


@pytest.mark.parametrize("request_", [get("/v2/x", "Connection: close"), b"nonsense\r\n\r\n"])
def test_last_answer_is_not_lost_for_what_comes_behind_its_request(request_: bytes) -> None:
    def send_then_look(port: int) -> list[bytes]:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(request_ + bytes(3_000_000))
            return list(iter(lambda: client.recv(1 << 16), b""))

    async def scenario() -> None:
        async with gate_before(Upstream(lambda head, body: ok(b"a" * 1000))) as (_, port):
            for _ in range(5):
                answer = b"".join(await asyncio.to_thread(send_then_look, port))
                status = b"200" if request_.startswith(b"GET") else b"400"
                assert answer.startswith(b"HTTP/1.1 " + status)

    run(scenario)


def test_connection_whose_large_refused_body_stops_is_closed_soon() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/v2/x", bytes(100_000))[:-50_000])
            status, headers, _ = await read_response(reader)
            assert (status, headers[b"connection"]) == (401, b"close")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    run(scenario)


def test_answer_that_takes_too_long_when_it_has_begun_ends_the_connection() -> None:
    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        await reader.read()
        writer.close()

    async def scenario() -> None:
        upstream = Upstream()
        upstream.serve = begin  # type: ignore[method-assign]
        async with gate_before(upstream, limits=GateLimits(answer_seconds=0.05)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/v2/x"))
            answer = await reader.readuntil(b"abc")
            with suppress(ConnectionError):
                answer += await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert answer.endswith(b"\r\n\r\nabc")

    run(scenario)


def test_time_for_an_answer_ends_with_it() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), limits=GateLimits(answer_seconds=0.05)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(post("/v2/x", b"1"))
                assert (await read_response(reader))[::2] == (200, b"1")
                await asyncio.sleep(0.1)
            writer.close()

    run(scenario)


def test_client_that_leaves_while_it_waits_takes_no_place() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=30)) as (gate, port):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await upstream.arrived.wait()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/v2/m/infer", b"2"))
            while gate.concurrency.waiting == 0:
                await asyncio.sleep(0)
            writer.close()
            while gate.concurrency.waiting:
                await asyncio.sleep(0)
            upstream.hold.set()
            assert (await first)[2] == b"1"
            assert (await ask(port, post("/v2/m/infer", b"3")))[2] == b"3"
            assert gate.concurrency.at_work == 0
        assert [body for _, body in upstream.requests] == [b"1", b"3"]

    run(scenario)


def test_body_over_the_limit_is_refused_and_the_answer_arrives() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream, limits=GateLimits(body_bytes=1000)) as (_, port):
            status, headers, _ = await ask(port, post("/v2/x", bytes(5_000_000)))
            assert (status, headers[b"connection"]) == (413, b"close")
        assert upstream.requests == []

    run(scenario)


def test_body_of_the_largest_size_passes() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), limits=GateLimits(body_bytes=1000)) as (_, port):
            assert (await ask(port, post("/v2/x", bytes(1000))))[2] == bytes(1000)
            assert (await ask(port, post("/v2/x", bytes(1001))))[0] == 413

    run(scenario)


def test_body_over_the_limit_that_came_while_its_request_waited_is_refused() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        chunked = get("/v2/x", "Transfer-Encoding: chunked") + b"65\r\n" + bytes(0x65) + b"\r\n0\r\n\r\n"
        async with gate_before(upstream, None, GateLimits(body_bytes=100)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/v2/x") + chunked + get("/v2/y", "Connection: close"))
            await upstream.arrived.wait()
            upstream.hold.set()
            found = await asyncio.wait_for(answers(reader), 5)
            writer.close()
        assert [status for status, _ in found] == [b"200", b"413", b"200"]
        assert len(upstream.requests) == 2

    run(scenario)


def test_body_that_grows_too_large_when_the_answer_has_begun_ends_the_connection() -> None:
    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        await reader.read()
        writer.close()

    async def scenario() -> None:
        upstream = Upstream()
        upstream.serve = begin  # type: ignore[method-assign]
        async with gate_before(upstream, None, GateLimits(body_bytes=100)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/v2/x", "Transfer-Encoding: chunked"))
            answer = await reader.readuntil(b"abc")
            writer.write(b"65\r\n" + bytes(0x65) + b"\r\n")
            with suppress(ConnectionError):
                answer += await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert answer.endswith(b"\r\n\r\nabc")

    run(scenario)


def test_id_of_the_largest_length_passes() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream()) as (_, port):
            for length, status in ((100, 200), (101, 431)):
                assert (await ask(port, get("/v2/x", f"X-Request-Id: {'a' * length}")))[0] == status

    run(scenario)


def test_client_that_leaves_frees_its_place() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(concurrent=1)) as (gate, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/v2/m/infer", b"1"))
            await upstream.arrived.wait()
            writer.close()
            assert gate.upstreams is not None
            await gate.upstreams.quiet()
            assert gate.concurrency.at_work == 0
            upstream.hold.set()

    run(scenario)


def test_connection_whose_refused_body_never_comes_is_closed() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), Keys("first", "second"), GateLimits(idle_seconds=0.1)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/v2/x", bytes(10))[:-10])
            assert (await read_response(reader))[0] == 401
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    run(scenario)


def test_chunked_body_over_the_limit_is_refused() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        chunked = get("/v2/x", "Transfer-Encoding: chunked") + b"65\r\n" + bytes(0x65) + b"\r\n0\r\n\r\n"
        async with gate_before(upstream, None, GateLimits(body_bytes=100)) as (_, port):
            assert (await ask(port, chunked))[0] == 413
            assert (await ask(port, chunked.replace(b"65\r\n", b"64\r\n").replace(bytes(0x65), bytes(0x64))))[0] == 200
        assert [len(body) for _, body in upstream.requests] == [100]

    run(scenario)


def test_client_that_reads_nothing_is_not_answered_on_and_on() -> None:
    async def scenario() -> None:
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

    run(scenario, stops_writing=True)


def test_end_waits_for_the_requests_that_wait_and_for_slow_readers() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: ok(bytes(8_000_000)) if b"/slow" in head else ok(body))
        async with gate_before(upstream, None, GateLimits(concurrent=1, queue_seconds=10)) as (gate, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
            writer.write(get("/v2/slow"))
            await upstream.arrived.wait()
            upstream.hold = asyncio.Event()
            upstream.arrived.clear()
            first = asyncio.create_task(ask(port, post("/v2/x", b"1")))
            await upstream.arrived.wait()
            second = asyncio.create_task(ask(port, post("/v2/x", b"2")))
            while not gate.concurrency.waiting:
                await asyncio.sleep(0.01)
            closing = asyncio.create_task(gate.close(20))
            await asyncio.sleep(0.05)
            upstream.hold.set()
            assert [(await first)[2], (await second)[2]] == [b"1", b"2"]
            await asyncio.sleep(0.1)
            answer = await reader.read()
            writer.close()
            assert len(answer.partition(b"\r\n\r\n")[2]) == 8_000_000
            await closing

    run(scenario)


@pytest.mark.parametrize("came", [b"", b"abc"])
@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_body_that_stops_gives_408_and_frees_its_place(framing: str, came: bytes) -> None:
    async def scenario() -> None:
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

    run(scenario)


def test_body_that_stops_when_the_answer_has_begun_ends_the_connection() -> None:
    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        await reader.read()
        writer.close()

    async def scenario() -> None:
        upstream = Upstream()
        upstream.serve = begin  # type: ignore[method-assign]
        async with gate_before(upstream, None, GateLimits(concurrent=1, idle_seconds=0.1)) as (gate, port):
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask(port, post("/v2/m/infer", bytes(10))[:-10]), 5)
            assert gate.concurrency.at_work == 0

    run(scenario)


def test_slow_body_that_keeps_coming_is_waited_for() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), None, GateLimits(idle_seconds=0.2)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/v2/m/infer", b"12345678")[:-8])
            for number in range(1, 9):
                await asyncio.sleep(0.05)
                writer.write(b"%d" % number)
            assert (await asyncio.wait_for(read_response(reader), 5))[2] == b"12345678"
            writer.close()

    run(scenario)


def test_an_answer_that_nobody_reads_gives_its_place_back() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: ok(bytes(40_000_000) if body == b"much" else body))
        limits = GateLimits(concurrent=1, queue_seconds=10, idle_seconds=0.2)
        async with gate_before(upstream, None, limits) as (_, port):
            with socket.create_connection(("127.0.0.1", port)) as idler:
                idler.sendall(post("/v2/m/infer", b"much"))
                await upstream.arrived.wait()
                assert (await asyncio.wait_for(ask(port, post("/v2/m/infer", b"1")), 5))[2] == b"1"

    run(scenario)


def test_an_answer_that_is_read_slowly_arrives_whole() -> None:
    async def scenario() -> None:
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

    run(scenario)


def test_body_that_is_not_read_is_not_held_against_the_client() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        body = bytes(8_000_000)
        async with gate_before(upstream, None, GateLimits(concurrent=1, queue_seconds=10, idle_seconds=0.1)) as (
            _,
            port,
        ):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await upstream.arrived.wait()
            second = asyncio.create_task(ask(port, post("/v2/m/infer", body)))
            await asyncio.sleep(0.3)
            upstream.hold.set()
            assert [(await first)[2], (await second)[2]] == [b"1", body]

    run(scenario)
