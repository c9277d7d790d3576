"""Where requests begin and end: pipelines, HEAD and HTTP/1.0, and what two servers could read differently."""

import asyncio
from contextlib import suppress

import pytest
from tests.support.gates import (
    Upstream,
    answers,
    ask,
    gate_before,
    get,
    ok,
    post,
    read_body,
    read_response,
    sent,
)
from tests.support.loops import ON_BOTH_LOOPS

from despina.deploy.gate.keys import Keys

pytestmark = ON_BOTH_LOOPS

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA")
GARBAGE = b"nonsense\r\n\r\n"
LONG_HEAD = get("/v2/x", "X-A: " + "a" * 70_000)


async def test_pipelined_requests_are_answered_in_order() -> None:
    upstream = Upstream()
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(post("/v2/x", b"%d" % number) for number in range(5)))
        data = b""
        while data.count(b"HTTP/1.1 200") < 5 or not data.endswith(b"4"):
            data += await reader.read(4096)
        writer.close()
    assert [body for _, body in upstream.requests] == [b"0", b"1", b"2", b"3", b"4"]


async def test_chunked_bodies_pass_both_ways() -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    upstream = Upstream(lambda head, body: answer)
    request = b"POST /v2/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n1\r\n!\r\n0\r\n\r\n"
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, request))[2] == b"abcde"
    assert upstream.requests[0][1] == b"wxyz!"


async def test_head_requests_have_no_body() -> None:
    upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
    async with gate_before(upstream) as (_, port):
        status, headers, _ = await ask(port, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", head=True)
    assert (status, headers[b"content-length"]) == (200, b"7")


async def test_expect_is_answered_by_the_gate() -> None:
    upstream = Upstream()
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v2/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await read_response(reader))[2] == b"hi"
        writer.close()
    assert b"expect" not in upstream.requests[0][0]


async def test_request_after_a_head_request_is_answered() -> None:
    upstream = Upstream(lambda head, body: b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_id_and_framing_are_said_once_upstream() -> None:
    upstream = Upstream()
    request = get("/v2/x", "X-Request-Id: mine", "Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n\r\n"
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, request))[1][b"x-request-id"] == b"mine"
    head = upstream.requests[0][0].lower()
    assert b"\r\nx-request-id: mine\r\n" in head
    assert (head.count(b"x-request-id"), head.count(b"transfer-encoding")) == (1, 1)


async def test_heads_of_a_connection_are_measured_one_by_one() -> None:
    async with gate_before(Upstream()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(5):
            writer.write(get("/v2/x", f"X-A: {'a' * 30_000}"))
            assert (await read_response(reader))[0] == 200
        writer.close()


async def test_request_that_comes_byte_by_byte_arrives_whole() -> None:
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


async def test_what_follows_the_last_request_of_a_connection_is_not_done() -> None:
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


async def test_refusal_of_a_head_request_has_no_body() -> None:
    async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HEAD /v2 HTTP/1.1\r\nHost: h\r\n\r\n" + get("/v2", "Connection: close"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" not in head
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"0" * 5000 + b"2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_requests_that_two_servers_could_read_differently_are_refused(request_bytes: bytes) -> None:
    upstream = Upstream()
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, request_bytes))[0] == 400
    assert upstream.requests == []


async def test_connect_goes_no_further() -> None:
    """Its body would be a request for an upstream that takes it for a tunnel, and the answer somebody else's."""

    upstream = Upstream()
    hidden = get("/v2/hidden")
    tunnel = get("/v2/x", f"Content-Length: {len(hidden)}").replace(b"GET", b"CONNECT") + hidden
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(tunnel + get("/v2/y", "Connection: close"))
        found = await asyncio.wait_for(answers(reader), 5)
        writer.close()
    assert [status for status, _ in found] == [b"405", b"200"]
    assert [head.split()[1] for head, _ in upstream.requests] == [b"/v2/y"]


async def test_http_10_client_gets_its_answer_and_the_connection_closed() -> None:
    async with gate_before(Upstream()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v2/x HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
        answer = await reader.read()
        writer.close()
    assert answer.endswith(b"\r\n\r\nhi")
    assert b"connection: close" in answer


@pytest.mark.parametrize("refused", [False, True])
async def test_http_10_client_that_asks_for_it_is_told_that_the_connection_stays(refused: bool) -> None:
    async with gate_before(Upstream(), Keys("first", "second") if refused else None) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST /v2/x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi")
            status, headers, _ = await asyncio.wait_for(read_response(reader), 5)
            assert (status, headers[b"connection"]) == (401 if refused else 200, b"keep-alive")
        writer.close()


async def test_http_10_client_is_not_told_so_where_the_answer_ends_with_the_connection() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with gate_before(Upstream(lambda head, body: chunked)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v2/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert b"connection: close" in answer
    assert b"keep-alive" not in answer
    assert answer.endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize("pause", [0.0, 0.05])
async def test_request_that_asks_for_another_protocol_keeps_its_body_and_what_follows(pause: float) -> None:
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


async def test_chunked_request_that_asks_for_another_protocol_keeps_its_body() -> None:
    upstream = Upstream()
    asked = get("/v2/x", "Transfer-Encoding: chunked", *H2C) + b"5\r\nhello\r\n0\r\n\r\n"
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asked + get("/v2/y", "Connection: close"))
        found = await asyncio.wait_for(answers(reader), 5)
        writer.close()
    assert found == [(b"200", b"hello"), (b"200", b"")]


async def test_no_request_is_read_as_the_body_of_another_clients() -> None:
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

    upstream = Upstream()
    upstream.serve = early  # type: ignore[method-assign]
    async with gate_before(upstream) as (_, port):
        await ask(port, get("/v2/first", "Content-Length: 1000", *H2C))
        assert (await asyncio.wait_for(ask(port, get("/v2/second")), 5))[2] == b"/v2/second"


@pytest.mark.parametrize(
    "begin", [b"GET /", b"GET / HTTP/1.1\r\nX-A: ", get("/")[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "]
)
async def test_head_without_an_end_is_not_collected(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.lingering.LONGEST_S", 0.05)
    monkeypatch.setattr("despina.lingering.QUIET_S", 0.05)

    async with gate_before(Upstream(), Keys("first", "second")) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begin + bytes(2_000_000).replace(b"\0", b"a"))
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(sent(writer), 5)
        writer.close()


async def test_trailer_is_no_header() -> None:
    upstream = Upstream()
    trailed = get("/v2/x", "Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\nHost: other\r\nX-A: 1\r\n\r\n"
    async with gate_before(upstream) as (_, port):
        assert (await ask(port, trailed))[0] == 200
    head, body = upstream.requests[0]
    assert body == b"a"
    assert head.count(b"\r\nhost: ") == 1
    assert b"x-a" not in head


async def test_upstream_that_speaks_no_http_is_let_go() -> None:
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


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("count", [20, 3000])
async def test_pipelined_requests_beyond_the_limit_wait_unread(count: int, keyed: bool) -> None:
    upstream = Upstream(held=True)
    async with gate_before(upstream, Keys("first", "second") if keyed else None) as (gate, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/v2/x", "Authorization: Bearer first"))
        writer.write(b"".join(post("/v2/x", b"%d" % number) for number in range(count)))
        writer.write(get("/v2/y", "Connection: close"))
        await asyncio.wait_for(upstream.arrived.wait(), 5)
        await asyncio.sleep(0.05)
        (client,) = gate.clients
        assert len(client._exchanges) < 400  # a piece of the shortest requests
        upstream.go_on.set()
        found = await asyncio.wait_for(answers(reader), 20)
        writer.close()
    bodies = [b"", *(b"%d" % number for number in range(count)), b""]
    if keyed:
        assert [status for status, _ in found] == [b"200", *[b"401"] * (count + 1)]
    else:
        assert found == [(b"200", body) for body in bodies]


@pytest.mark.parametrize("bad", [GARBAGE, GARBAGE * 10_000, LONG_HEAD, LONG_HEAD + get("/v2/y")])
@pytest.mark.parametrize("good", [0, 1, 3, 20])
async def test_requests_before_garbage_are_answered(good: int, bad: bytes) -> None:
    upstream = Upstream()
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(post("/v2/x", b"%d" % number) for number in range(good)) + bad)
        found = await asyncio.wait_for(answers(reader), 5)
        writer.close()
    assert found[:-1] == [(b"200", b"%d" % number) for number in range(good)]
    assert found[-1][0] == b"400"


@pytest.mark.parametrize("good", [0, 2])
async def test_garbage_in_a_body_is_answered_in_its_turn(good: int) -> None:
    upstream = Upstream()
    bad = get("/v2/x", "Transfer-Encoding: chunked") + b"1\r\na\r\nnonsense\r\n"
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/v2/x") * good + bad)
        found = await asyncio.wait_for(answers(reader), 5)
        writer.close()
    assert [status for status, _ in found] == [b"200"] * good + [b"400"]


async def test_large_bodies_behind_each_other_arrive_whole() -> None:
    upstream = Upstream()
    bodies = [bytes([number]) * (number * 37_001) for number in range(40)]
    async with gate_before(upstream) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(post("/v2/x", body) for body in bodies) + get("/v2/y", "Connection: close"))
        found = await asyncio.wait_for(answers(reader), 20)
        writer.close()
    assert [body for _, body in found] == [*bodies, b""]
