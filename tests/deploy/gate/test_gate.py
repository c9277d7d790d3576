"""What passes the gate, who may pass, and what becomes of connections to the upstream."""

import asyncio
import gc
from typing import Any

import pytest
from tests.support.gates import BASE, Upstream, ask, at_work, gate_before, get, ok, post, read_response
from tests.support.loops import ON_BOTH_LOOPS

from despina.deploy.gate.exchange import Exchange
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.upstreams import Address, Upstreams

pytestmark = ON_BOTH_LOOPS


async def test_a_request_passes_with_its_body_and_the_base_path_stripped() -> None:
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


@pytest.mark.parametrize(
    ("path", "key"), [("/v2/health/ready", b"error"), ("/score", b"message"), (f"{BASE}/swagger.json", b"message")]
)
async def test_every_path_needs_a_key(path: str, key: bytes) -> None:
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


async def test_connections_are_reused_on_both_sides() -> None:
    upstream = Upstream()
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(5):
            writer.write(post("/v2/models/m/infer", b"%d" % number))
            assert (await read_response(reader))[2] == b"%d" % number
        writer.close()
    assert upstream.connections == 1


async def test_answer_that_ends_with_the_connection_arrives_whole() -> None:
    upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc")
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, get("/v2/x")))[2] == b"abc"


async def test_large_bodies_stream_both_ways_without_being_collected() -> None:
    upstream = Upstream()
    body = bytes(range(256)) * 40_000
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, post("/v2/x", body)))[2] == body


async def test_stale_connection_is_replaced_without_the_client_noticing() -> None:
    answers = iter([ok(b"one"), b"", ok(b"two")])
    upstream = Upstream(lambda head, body: next(answers))
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, post("/v2/x", b"1")))[2] == b"one"
        assert (await ask(port, post("/v2/x", b"2")))[2] == b"two"
    assert upstream.connections == 2


async def test_request_that_is_not_kept_whole_is_not_sent_again() -> None:
    answers = iter([ok(b"one"), b"", ok(b"two")])
    upstream = Upstream(lambda head, body: next(answers))
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, post("/v2/x", b"1")))[2] == b"one"
        assert (await ask(port, post("/v2/x", bytes(200_000))))[0] == 502
    assert len(upstream.requests) == 2


async def test_upstream_that_dies_in_a_request_gives_502_and_one_that_is_gone_503() -> None:
    upstream = Upstream(lambda head, body: b"")
    async with gate_before(upstream, score=True) as (gate, port):
        status, _, body = await ask(port, post("/score", b"1"))
        assert status == 502
        assert body == b'{"message": "the score workers of this service ended the connection without an answer"}'
        gate.upstreams = Upstreams(Address("127.0.0.1", 1), None)
        status, headers, _ = await ask(port, get("/v2/health/ready"))
        assert (status, headers[b"retry-after"]) == (503, b"1")


async def test_answer_cut_short_is_cut_short_for_the_client_too() -> None:
    upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nabc")
    async with gate_before(upstream) as (_, port):
        with pytest.raises(ConnectionResetError):
            await ask(port, get("/v2/x"))


async def test_another_address_takes_the_place_of_the_one_before() -> None:
    async with gate_before(Upstream()) as (gate, port):
        other = await gate.listen("127.0.0.1", 0)
        assert (await ask(other, get("/v2/x")))[0] == 200
        with pytest.raises(ConnectionRefusedError):
            await ask(port, get("/v2/x"))


async def test_authorization_of_a_service_without_keys_is_passed_on() -> None:
    upstream = Upstream()
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, get("/v2/x", "Authorization: Bearer mine")))[0] == 200
    assert b"\r\nauthorization: Bearer mine\r\n" in upstream.requests[0][0]


async def test_connection_that_opens_when_its_client_has_left_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        closed = False

        def close(self) -> None:
            self.closed = True

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
        assert gate.upstreams is not None
        assert (gate.upstreams.in_flight, gate.concurrency.at_work) == (0, 0)


async def test_what_a_request_held_is_freed_when_it_is_over() -> None:
    async with gate_before(Upstream()) as (_, port):
        gc.collect()
        gc.disable()  # what only the collector frees would pile up, bodies and all
        try:
            assert (await ask(port, post("/v2/models/m/infer", b"tensor")))[0] == 200
            await asyncio.sleep(0.05)
            assert not [one for one in gc.get_objects() if isinstance(one, Exchange)]
        finally:
            gc.enable()


async def test_switch_sends_new_requests_elsewhere_and_lets_old_ones_end() -> None:
    old, new = Upstream(lambda head, body: ok(b"old")), Upstream(lambda head, body: ok(b"new"))
    old.go_on.clear()
    other = await asyncio.start_server(new.serve, "127.0.0.1", 0)
    async with gate_before(old) as (gate, port):
        first = await at_work(old, port)
        before = gate.upstreams
        gate.upstreams = Upstreams(Address("127.0.0.1", other.sockets[0].getsockname()[1]), None)
        assert before is not None
        assert (await ask(port, post("/v2/m/infer", b"2")))[2] == b"new"
        quiet = asyncio.create_task(before.quiet())
        await asyncio.sleep(0)
        assert not quiet.done()
        old.go_on.set()
        assert (await first)[2] == b"old"
        await quiet
    other.close()


async def test_service_that_is_not_ready_says_so() -> None:
    async with gate_before(Upstream()) as (gate, port):
        gate.upstreams, gate.reason = None, "service svc is being deployed"
        status, headers, body = await ask(port, get("/score"))
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert body == b'{"message": "service svc is being deployed"}'
