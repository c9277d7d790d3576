"""A gate between a client and an upstream that the test writes down byte by byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import httptools
import pytest
import uvloop

from despina.deploy.gate.exchange import Exchange
from despina.deploy.gate.gate import Gate
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import GateLimits
from despina.deploy.gate.request_head import RequestHead
from despina.deploy.gate.request_parser import RequestParser
from despina.deploy.gate.target import Address, Target

BASE = "/api/v1/service/svc"


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the loop of production and on the standard library's: their transports differ in small ways."""
    uvloop.run(scenario())
    asyncio.run(scenario())


class Upstream:
    """Answers each request with what `respond` makes of it; remembers heads, bodies and connections."""

    def __init__(self, respond: Callable[[bytes, bytes], bytes] | None = None) -> None:
        self.respond = respond or (lambda head, body: ok(body))
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.hold: asyncio.Event | None = None
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await read_body(reader, head)
                self.requests.append((head, body))
                self.arrived.set()
                if self.hold is not None:
                    await self.hold.wait()
                response = self.respond(head, body)
                writer.write(response)
                await writer.drain()
                if not response or b"connection: close" in response:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    return await reader.readexactly(int(fields.get(b"content-length", b"0")))


@asynccontextmanager
async def gate_before(
    upstream: Upstream, keys: Keys | None = None, limits: GateLimits | None = None, *, score: bool = False
) -> AsyncIterator[tuple[Gate, int]]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 24)
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    gate = Gate(BASE, keys, limits or GateLimits())
    gate.switch(Target(None, address) if score else Target(address, None))
    try:
        yield gate, await gate.listen("127.0.0.1", 0)
    finally:
        await gate.close(1)
        server.close()


async def ask(port: int, request: bytes, *, head: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
    """Sends bytes, reads one response with httptools."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await read_response(reader, head=head)
    finally:
        writer.close()


async def read_response(reader: asyncio.StreamReader, *, head: bool = False) -> tuple[int, dict[bytes, bytes], bytes]:
    class Response:
        def __init__(self) -> None:
            self.headers: dict[bytes, bytes] = {}
            self.body = b""
            self.done = False

        def on_header(self, name: bytes, value: bytes) -> None:
            self.headers[name.lower()] = value

        def on_headers_complete(self) -> None:
            self.done = self.done or head

        def on_body(self, data: bytes) -> None:
            self.body += data

        def on_message_complete(self) -> None:
            self.done = parser.get_status_code() >= 200

    response = Response()
    parser: Any = httptools.HttpResponseParser(response)
    while not response.done:
        data = await reader.read(1 << 16)
        if not data:
            raise ConnectionResetError(f"cut short after {response.body!r}")
        parser.feed_data(data)
    return parser.get_status_code(), response.headers, response.body


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def test_a_request_passes_with_its_body_and_the_base_path_stripped() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            status, headers, body = await ask(port, post(f"{BASE}/v2/models/m/infer?x=1", b"tensor", "X-A: 1"))
        assert (status, body) == (200, b"tensor")
        head = upstream.requests[0][0]
        assert head.startswith(b"POST /v2/models/m/infer?x=1 HTTP/1.1\r\n")
        assert b"\r\nx-a: 1\r\n" in head
        assert b"\r\nx-forwarded-for: 127.0.0.1\r\n" in head
        made = headers[b"x-request-id"]
        assert len(made) == 36
        assert b"\r\nx-request-id: " + made + b"\r\n" in head

    run(scenario)


@pytest.mark.parametrize(
    ("path", "key"), [("/v2/health/ready", b"error"), ("/score", b"message"), (f"{BASE}/swagger.json", b"message")]
)
def test_every_path_needs_a_key(path: str, key: bytes) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream, Keys("first", "second")) as (gate, port):
            for headers in ([], ["Authorization: Bearer wrong"]):
                status, answered, body = await ask(port, get(path, *headers))
                assert status == 401
                assert answered[b"www-authenticate"] == b"Bearer"
                assert body.startswith(b'{"' + key + b'": "a key of this service is needed')
            assert upstream.requests == []
            for good in ("first", "second"):
                assert (await ask(port, get(path, f"Authorization: Bearer {good}")))[0] == 200
            assert b"authorization" not in upstream.requests[0][0]
            gate.keys = Keys("third", "second")
            assert (await ask(port, get(path, "Authorization: Bearer first")))[0] == 401
            assert (await ask(port, get(path, "Authorization: Bearer third")))[0] == 200

    run(scenario)


def test_connections_are_reused_on_both_sides() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in range(5):
                writer.write(post("/v2/models/m/infer", b"%d" % number))
                assert (await read_response(reader))[2] == b"%d" % number
            writer.close()
        assert upstream.connections == 1

    run(scenario)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(post("/v2/x", b"%d" % number) for number in range(5)))
            data = b""
            while data.count(b"HTTP/1.1 200") < 5 or not data.endswith(b"4"):
                data += await reader.read(4096)
            writer.close()
        assert [body for _, body in upstream.requests] == [b"0", b"1", b"2", b"3", b"4"]

    run(scenario)


def test_chunked_bodies_pass_both_ways() -> None:
    async def scenario() -> None:
        answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        upstream = Upstream(lambda head, body: answer)
        request = (
            b"POST /v2/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n1\r\n!\r\n0\r\n\r\n"
        )
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, request))[2] == b"abcde"
        assert upstream.requests[0][1] == b"wxyz!"

    run(scenario)


def test_answer_that_ends_with_the_connection_arrives_whole() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc")
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, get("/v2/x")))[2] == b"abc"

    run(scenario)


def test_large_bodies_stream_both_ways_without_being_collected() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        body = bytes(range(256)) * 40_000
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, post("/v2/x", body)))[2] == body

    run(scenario)


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
        gate.switch(Target(Address("127.0.0.1", server.sockets[0].getsockname()[1]), None))
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

    run(scenario)


def test_head_requests_have_no_body() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
        async with gate_before(upstream) as (_, port):
            status, headers, _ = await ask(port, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", head=True)
        assert (status, headers[b"content-length"]) == (200, b"7")

    run(scenario)


def test_expect_is_answered_by_the_gate() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /v2/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hi")
            assert (await read_response(reader))[2] == b"hi"
            writer.close()
        assert b"expect" not in upstream.requests[0][0]

    run(scenario)


def test_stale_connection_is_replaced_without_the_client_noticing() -> None:
    async def scenario() -> None:
        answers = iter([ok(b"one"), b"", ok(b"two")])
        upstream = Upstream(lambda head, body: next(answers))
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, post("/v2/x", b"1")))[2] == b"one"
            assert (await ask(port, post("/v2/x", b"2")))[2] == b"two"
        assert upstream.connections == 2

    run(scenario)


def test_request_that_is_not_kept_whole_is_not_sent_again() -> None:
    async def scenario() -> None:
        answers = iter([ok(b"one"), b"", ok(b"two")])
        upstream = Upstream(lambda head, body: next(answers))
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, post("/v2/x", b"1")))[2] == b"one"
            assert (await ask(port, post("/v2/x", bytes(200_000))))[0] == 502
        assert len(upstream.requests) == 2

    run(scenario)


def test_request_after_a_head_request_is_answered() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
                assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 OK")
            writer.close()

    run(scenario)


def test_upstream_that_dies_in_a_request_gives_502_and_one_that_is_gone_503() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: b"")
        async with gate_before(upstream, score=True) as (gate, port):
            status, _, body = await ask(port, post("/score", b"1"))
            assert status == 502
            assert body == b'{"message": "the score workers of this service ended the connection without an answer"}'
            gate.switch(Target(Address("127.0.0.1", 1), None))
            status, headers, _ = await ask(port, get("/v2/health/ready"))
            assert (status, headers[b"retry-after"]) == (503, b"1")

    run(scenario)


def test_answer_cut_short_is_cut_short_for_the_client_too() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nabc")
        async with gate_before(upstream) as (_, port):
            with pytest.raises(ConnectionResetError):
                await ask(port, get("/v2/x"))

    run(scenario)


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
            assert (gate.places.taken, gate.places.waiting) == (0, 0)

    run(scenario)


def test_request_that_waits_gets_the_place_that_comes_free() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=30)) as (gate, port):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await upstream.arrived.wait()
            second = asyncio.create_task(ask(port, post("/v2/m/infer", b"2")))
            while gate.places.waiting == 0:
                await asyncio.sleep(0)
            upstream.hold.set()
            assert ((await first)[2], (await second)[2]) == (b"1", b"2")
            assert gate.places.taken == 0

    run(scenario)


def test_health_passes_while_all_places_are_taken() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream, limits=GateLimits(concurrent=1)) as (gate, port):
            gate.places.ask(lambda: None, lambda: None)
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
            assert gate.target is not None
            assert gate.target.in_flight == 0

    run(scenario)


def test_id_and_framing_are_said_once_upstream() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        request = get("/v2/x", "X-Request-Id: mine", "Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n\r\n"
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, request))[1][b"x-request-id"] == b"mine"
        head = upstream.requests[0][0].lower()
        assert b"\r\nx-request-id: mine\r\n" in head
        assert (head.count(b"x-request-id"), head.count(b"transfer-encoding")) == (1, 1)

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


def test_heads_of_a_connection_are_measured_one_by_one() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream()) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(5):
                writer.write(get("/v2/x", f"X-A: {'a' * 30_000}"))
                assert (await read_response(reader))[0] == 200
            writer.close()

    run(scenario)


def test_request_that_comes_byte_by_byte_arrives_whole() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for byte in post("/v2/a/long/path?and=query", b"body", "X-Long: value"):
                writer.write(bytes([byte]))
                await asyncio.sleep(0.001)
            assert (await read_response(reader))[2] == b"body"
            writer.close()
        assert upstream.requests[0][0].startswith(b"POST /v2/a/long/path?and=query HTTP/1.1\r\n")
        assert b"\r\nx-long: value\r\n" in upstream.requests[0][0]

    run(scenario)


def test_mistake_of_ours_is_no_bad_request() -> None:
    def begun(head: RequestHead) -> None:
        raise ValueError("a mistake")

    listener: Any = SimpleNamespace(request_begun=begun)
    with pytest.raises(httptools.HttpParserCallbackError):
        RequestParser(listener).parse(get("/v2/x"))


def test_another_address_takes_the_place_of_the_one_before() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream()) as (gate, port):
            other = await gate.listen("127.0.0.1", 0)
            assert (await ask(other, get("/v2/x")))[0] == 200
            with pytest.raises(ConnectionRefusedError):
                await ask(port, get("/v2/x"))

    run(scenario)


def test_limits_that_stay_leave_everybody_where_he_is() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), limits=GateLimits(concurrent=1)) as (gate, _):
            before = gate.places
            gate.set_limits(GateLimits(concurrent=1))
            assert gate.places is before
            gate.set_limits(GateLimits(concurrent=2))
            assert gate.places is not before

    run(scenario)


def test_service_that_is_not_ready_says_so_again_without_a_new_reason() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream()) as (gate, port):
            gate.switch(None, "service svc is being deployed")
            gate.switch(None)
            assert b"service svc is being deployed" in (await ask(port, get("/score")))[2]

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


def test_end_closes_what_rests_at_once_and_the_others_with_their_answers() -> None:
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


def test_what_follows_the_last_request_of_a_connection_is_not_done() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            for pause in (0.0, 0.05):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(post("/v2/x", b"1", "Connection: close"))
                await asyncio.sleep(pause)
                writer.write(post("/v2/x", b"2"))
                with suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(), 5)
                writer.close()
        assert [body for _, body in upstream.requests] == [b"1", b"1"]

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


def test_connection_whose_large_refused_body_stops_is_closed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.deploy.gate.exchange.LINGER_SECONDS", 0.05)

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


def test_refusal_of_a_head_request_has_no_body() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HEAD /v2 HTTP/1.1\r\nHost: h\r\n\r\n" + get("/v2", "Connection: close"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 ")
            assert b"connection: close" not in head
            assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
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
            while gate.places.waiting == 0:
                await asyncio.sleep(0)
            writer.close()
            while gate.places.waiting:
                await asyncio.sleep(0)
            upstream.hold.set()
            assert (await first)[2] == b"1"
            assert (await ask(port, post("/v2/m/infer", b"3")))[2] == b"3"
            assert gate.places.taken == 0
        assert [body for _, body in upstream.requests] == [b"1", b"3"]

    run(scenario)


def test_authorization_of_a_service_without_keys_is_passed_on() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, get("/v2/x", "Authorization: Bearer mine")))[0] == 200
        assert b"\r\nauthorization: Bearer mine\r\n" in upstream.requests[0][0]

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
            found = await asyncio.wait_for(_answers(reader), 5)
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


def test_request_that_waited_is_told_that_the_service_is_gone() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, limits=GateLimits(concurrent=1, queue_seconds=30)) as (gate, port):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await upstream.arrived.wait()
            second = asyncio.create_task(ask(port, post("/v2/m/infer", b"2")))
            while gate.places.waiting == 0:
                await asyncio.sleep(0)
            gate.switch(None, "service svc is going")
            upstream.hold.set()
            assert (await first)[2] == b"1"
            status, _, body = await second
            assert (status, body) == (503, b'{"error": "service svc is going"}')
            assert gate.places.taken == 0

    run(scenario)


def test_connection_that_opens_when_its_client_has_left_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        closed = False

        def close(self) -> None:
            self.closed = True

    async def scenario() -> None:
        async with gate_before(Upstream()) as (gate, port):
            asked: list[Exchange] = []
            monkeypatch.setattr(gate, "connect", lambda exchange, address: asked.append(exchange))
            for _ in range(2):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(post("/v2/m/infer", b"1"))
                while not asked or asked[-1].over:
                    await asyncio.sleep(0)
                writer.close()
                while not asked[-1].over:
                    await asyncio.sleep(0)
            opened: Any = Opened()
            asked[0].connected(opened)
            assert opened.closed
            asked[1].connect_failed()
            assert gate.target is not None
            assert (gate.target.in_flight, gate.places.taken) == (0, 0)

    run(scenario)


def test_switch_sends_new_requests_elsewhere_and_lets_old_ones_end() -> None:
    async def scenario() -> None:
        old, new = Upstream(lambda head, body: ok(b"old")), Upstream(lambda head, body: ok(b"new"))
        old.hold = asyncio.Event()
        other = await asyncio.start_server(new.serve, "127.0.0.1", 0)
        async with gate_before(old) as (gate, port):
            first = asyncio.create_task(ask(port, post("/v2/m/infer", b"1")))
            await old.arrived.wait()
            before = gate.switch(Target(Address("127.0.0.1", other.sockets[0].getsockname()[1]), None))
            assert before is not None
            assert (await ask(port, post("/v2/m/infer", b"2")))[2] == b"new"
            quiet = asyncio.create_task(before.quiet())
            await asyncio.sleep(0)
            assert not quiet.done()
            old.hold.set()
            assert (await first)[2] == b"old"
            await quiet
        other.close()

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
            assert gate.target is not None
            await gate.target.quiet()
            assert gate.places.taken == 0
            upstream.hold.set()

    run(scenario)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
def test_requests_that_two_servers_could_read_differently_are_refused(request_bytes: bytes) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, request_bytes))[0] == 400
        assert upstream.requests == []

    run(scenario)


def test_http_10_client_gets_its_answer_and_the_connection_closed() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream()) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /v2/x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
            answer = await reader.read()
            writer.close()
        assert answer.endswith(b"\r\n\r\nhi")
        assert b"connection: close" in answer

    run(scenario)


@pytest.mark.parametrize("refused", [False, True])
def test_http_10_client_that_asks_for_it_is_told_that_the_connection_stays(refused: bool) -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), Keys("first", "second") if refused else None) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(b"POST /v2/x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
                status, headers, _ = await asyncio.wait_for(read_response(reader), 5)
                assert (status, headers[b"connection"]) == (401 if refused else 200, b"keep-alive")
            writer.close()

    run(scenario)


def test_http_10_client_is_not_told_so_where_the_answer_ends_with_the_connection() -> None:
    async def scenario() -> None:
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        async with gate_before(Upstream(lambda head, body: chunked)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /v2/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert b"connection: close" in answer
        assert b"keep-alive" not in answer
        assert answer.endswith(b"\r\n\r\nabc")

    run(scenario)


def test_service_that_is_not_ready_says_so() -> None:
    async def scenario() -> None:
        async with gate_before(Upstream()) as (gate, port):
            gate.switch(None, "service svc is being deployed")
            status, headers, body = await ask(port, get("/score"))
            assert (status, headers[b"retry-after"]) == (503, b"1")
            assert body == b'{"message": "service svc is being deployed"}'

    run(scenario)


H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA")


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_request_that_asks_for_another_protocol_keeps_its_body_and_what_follows(pause: float) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            asked = post("/v2/x", b"hello", *H2C)
            writer.write(asked[:-5])
            await asyncio.sleep(pause)
            writer.write(asked[-5:] + get("/v2/y", *H2C) + get("/v2/z"))
            while len(upstream.requests) < 3:
                assert await asyncio.wait_for(reader.read(4096), 5)
            writer.close()
        assert [(head.split()[1], body) for head, body in upstream.requests] == [
            (b"/v2/x", b"hello"),
            (b"/v2/y", b""),
            (b"/v2/z", b""),
        ]

    run(scenario)


def test_chunked_request_that_asks_for_another_protocol_keeps_its_body() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        asked = get("/v2/x", "Transfer-Encoding: chunked", *H2C) + b"5\r\nhello\r\n0\r\n\r\n"
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(asked + get("/v2/y", "Connection: close"))
            found = await asyncio.wait_for(_answers(reader), 5)
            writer.close()
        assert found == [(b"200", b"hello"), (b"200", b"")]

    run(scenario)


def test_no_request_is_read_as_the_body_of_another_clients() -> None:
    """An upstream that answers before the body came must not be used again."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(ok(head.split()[1]))
                await read_body(reader, head)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def scenario() -> None:
        upstream = Upstream()
        upstream.serve = early  # type: ignore[method-assign]
        async with gate_before(upstream) as (_, port):
            await ask(port, get("/v2/first", "Content-Length: 1000", *H2C))
            assert (await asyncio.wait_for(ask(port, get("/v2/second")), 5))[2] == b"/v2/second"

    run(scenario)


async def _sent(writer: asyncio.StreamWriter) -> None:
    """Raises ConnectionError where the other side ends the connection; it may take a while to be seen."""
    while True:
        await writer.drain()
        writer.write(b"a")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "begin", [b"GET /", b"GET / HTTP/1.1\r\nX-A: ", get("/")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "]
)
def test_head_without_an_end_is_not_collected(begin: bytes) -> None:
    async def scenario() -> None:
        async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begin + bytes(2_000_000).replace(b"\0", b"a"))
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(_sent(writer), 5)
            writer.close()

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


def test_trailer_is_no_header() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        trailed = get("/v2/x", "Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\nHost: other\r\nX-A: 1\r\n\r\n"
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, trailed))[0] == 200
        head, body = upstream.requests[0]
        assert body == b"a"
        assert head.count(b"\r\nhost: ") == 1
        assert b"x-a" not in head

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

    run(scenario)


def test_upstream_that_speaks_no_http_is_let_go() -> None:
    async def scenario() -> None:
        upstream = Upstream(lambda head, body: b"nonsense\r\n\r\n")
        ended = asyncio.Event()
        serve = upstream.serve

        async def watched(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve(reader, writer)
            ended.set()

        upstream.serve = watched  # type: ignore[method-assign]
        async with gate_before(upstream) as (_, port):
            assert (await ask(port, get("/v2/x")))[0] == 502
            await asyncio.wait_for(ended.wait(), 5)

    run(scenario)


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
            while not gate.places.waiting:
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
            assert gate.places.taken == 0
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
            assert gate.places.taken == 0

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


async def _answers(reader: asyncio.StreamReader) -> list[tuple[bytes, bytes]]:
    """Status and body of all answers until the connection ends."""
    found = []
    while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
        found.append((head.split()[1], await read_body(reader, head)))
        if b"connection: close" in head:
            break
    return found


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("count", [20, 3000])
def test_pipelined_requests_beyond_the_limit_wait_unread(count: int, keyed: bool) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.hold = asyncio.Event()
        async with gate_before(upstream, Keys("first", "second") if keyed else None) as (gate, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/v2/x", "Authorization: Bearer first"))
            writer.write(b"".join(post("/v2/x", b"%d" % number) for number in range(count)))
            writer.write(get("/v2/y", "Connection: close"))
            await asyncio.wait_for(upstream.arrived.wait(), 5)
            await asyncio.sleep(0.05)
            (client,) = gate.clients
            assert len(client._exchanges) < 400  # a piece of the shortest requests
            upstream.hold.set()
            found = await asyncio.wait_for(_answers(reader), 20)
            writer.close()
        bodies = [b"", *(b"%d" % number for number in range(count)), b""]
        if keyed:
            assert [status for status, _ in found] == [b"200", *[b"401"] * (count + 1)]
        else:
            assert found == [(b"200", body) for body in bodies]

    run(scenario)


GARBAGE = b"nonsense\r\n\r\n"
LONG_HEAD = get("/v2/x", "X-A: " + "a" * 70_000)


@pytest.mark.parametrize("bad", [GARBAGE, GARBAGE * 10_000, LONG_HEAD, LONG_HEAD + get("/v2/y")])
@pytest.mark.parametrize("good", [0, 1, 3, 20])
def test_requests_before_garbage_are_answered(good: int, bad: bytes) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(post("/v2/x", b"%d" % number) for number in range(good)) + bad)
            found = await asyncio.wait_for(_answers(reader), 5)
            writer.close()
        assert found[:-1] == [(b"200", b"%d" % number) for number in range(good)]
        assert found[-1][0] == b"400"

    run(scenario)


@pytest.mark.parametrize("good", [0, 2])
def test_garbage_in_a_body_is_answered_in_its_turn(good: int) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        bad = get("/v2/x", "Transfer-Encoding: chunked") + b"1\r\na\r\nnonsense\r\n"
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get("/v2/x") * good + bad)
            found = await asyncio.wait_for(_answers(reader), 5)
            writer.close()
        assert [status for status, _ in found] == [b"200"] * good + [b"400"]

    run(scenario)


def test_large_bodies_behind_each_other_arrive_whole() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        bodies = [bytes([number]) * (number * 37_001) for number in range(40)]
        async with gate_before(upstream) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(post("/v2/x", body) for body in bodies) + get("/v2/y", "Connection: close"))
            found = await asyncio.wait_for(_answers(reader), 20)
            writer.close()
        assert [body for _, body in found] == [*bodies, b""]

    run(scenario)
