"""Requests that the application answers, over real sockets."""

import asyncio
import json
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from tests.support.serving import REPOSITORY, serving
from uvicorn.server import ServerState

from despina.http.application_connection import MAX_HEAD, ApplicationConnection, PipelineFlow
from despina.http.listener import Listener, bind

HEAD = b"POST /v2/models/identity_fp32/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
BODY = b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,1],"data":[7]}]}'


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(REPOSITORY, ["--model-control-mode=explicit", "--load-model=identity_fp32"]) as port:
        yield port


def exchange(port: int, data: bytes) -> bytes:
    """Everything the server answers until it hangs up."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        with suppress(ConnectionError):  # refused before the end, as it may be
            sock.sendall(data)
        while piece := sock.recv(1 << 16):
            received += piece
    return received


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]) + b"0\r\n\r\n"


def test_a_request_that_is_chunked_and_has_a_content_length_is_chunked_and_the_last_of_its_connection(
    port: int,
) -> None:
    body = chunked(BODY, 10)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = exchange(port, request + request)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["outputs"][0]["data"] == [7.0]


TUNNELS = (
    b"CONNECT /v2/health/live HTTP/1.1\r\n",
    b"GET /v2/health/live HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n",
)
"""The second one behind another request: at the beginning of what is read it is answered as if it did not wish so."""


@pytest.mark.parametrize("head", TUNNELS, ids=["connect", "upgrade"])
@pytest.mark.parametrize("framing", [b"Content-Length: 37\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n25\r\n"])
def test_the_body_of_a_request_for_a_tunnel_is_no_request(port: int, head: bytes, framing: bytes) -> None:
    before = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(before + head + framing)
        answer = sock.recv(1 << 16)
        with suppress(ConnectionError):
            sock.sendall(b"GET /v2/nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
            while piece := sock.recv(1 << 16):
                answer += piece
    assert b"HTTP/1.1 400 " in answer
    assert b"HTTP/1.1 404 " not in answer


def test_what_follows_a_wish_for_another_protocol_behind_another_request_is_no_request(port: int) -> None:
    live = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n%b\r\n"
    wish = b"Connection: upgrade\r\nUpgrade: x\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(live % b"" + live % wish)
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
    assert answer.count(b"HTTP/1.1 200 ") == 2


def test_the_connection_of_an_old_client_stays_when_it_wishes_so(port: int) -> None:
    wish = b"Connection: Keep-Alive\r\n"
    request = b"POST /v2/models/identity_fp32/infer HTTP/1.0\r\n%%bContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    answers = exchange(port, request % wish + request % wish + request % b"")
    _, *heads = answers.split(b"HTTP/1.1 200 OK")
    assert [b"\r\nconnection: keep-alive\r\n" in head for head in heads] == [True, True, False]
    assert [b"\r\nconnection: close\r\n" in head for head in heads] == [False, False, True]


def test_the_application_keeps_the_connection_of_an_old_client_too(port: int) -> None:
    request = b"GET /v2/models/identity_fp32/ready HTTP/1.0\r\n%b\r\n"
    answers = exchange(port, request % b"Connection: Keep-Alive\r\n" + request % b"")
    _, *heads = answers.split(b"HTTP/1.1 200 OK")
    assert [head.count(b"\r\nconnection: keep-alive\r\n") for head in heads] == [1, 0]


@pytest.mark.parametrize("path", [b"generate", b"generate_stream"])
def test_an_answer_without_a_length_is_the_last_for_an_old_client(port: int, path: bytes) -> None:
    body = b'{"INPUT0":[7]}'
    head = b"POST /v2/models/identity_fp32/%b HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n"
    answer = exchange(port, head % (path, len(body)) + body)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"keep-alive" not in answer


@pytest.mark.parametrize(("chunks", "status"), [(65536, 200), (65537, 400)])
def test_a_body_may_come_in_65536_chunks_and_no_more(port: int, chunks: int, status: int) -> None:
    body = b" " * (chunks - len(BODY)) + BODY
    answer = exchange(port, HEAD + b"Connection: close\r\n\r\n" + chunked(body, 1))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    if status == 400:
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
            "error": "Chunked request body exceeds maximum of 65536 non-empty chunks. Send fewer or larger HTTP chunks."
        }


@pytest.mark.parametrize("encoding", ["identity", "gzip", "gzip, chunked"])
def test_a_body_is_chunked_or_has_a_length(port: int, encoding: str) -> None:
    head = HEAD.replace(b"chunked", encoding.encode()) + b"Content-Length: %d\r\n\r\n" % len(BODY)
    answer = exchange(port, head + BODY)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
        "error": f"Transfer-Encoding '{encoding}' is not supported. Send the body chunked or with its length."
    }


def test_a_tab_behind_chunked_is_more_than_the_parser_takes_for_that(port: int) -> None:
    answer = exchange(port, HEAD.replace(b"chunked", b"chunked\t") + b"\r\n" + chunked(BODY, 10))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Transfer-Encoding 'chunked\\t' is not supported" in answer


def test_chunked_is_chunked_in_any_spelling(port: int) -> None:
    request = HEAD.replace(b"chunked", b" Chunked ") + b"Connection: close\r\n\r\n" + chunked(BODY, 10)
    assert exchange(port, request).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("beginning", "endless", "counted"),
    [
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: ", b"x" * 1000, True),
        (b"GET /v2 HTTP/1.1\r\n", b"X: %b\r\n" % (b"x" * 1000), True),
        (HEAD + b"\r\n0\r\n", b"X: %b\r\n" % (b"x" * 1000), False),
    ],
    ids=["line", "lines", "trailer"],
)
def test_what_does_not_end_is_refused(port: int, beginning: bytes, endless: bytes, counted: bool) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(beginning)
        # When this is answered, the beginning has been read.
        assert exchange(port, b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
        # No byte more than it takes: with unread ones the answer might be lost.
        size = MAX_HEAD + 1 - (len(beginning) if counted else 0)
        sock.sendall((endless * (1 + MAX_HEAD // len(endless)))[:size])
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Request head exceeds maximum of 262144 bytes. Send fewer or shorter headers." in answer


def test_empty_lines_behind_requests_are_no_head(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        for _ in range(2):
            sock.sendall(b"GET /v2/health/live HTTP/1.1\r\n\r\n")
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            sock.sendall(b"\r\n" * MAX_HEAD)


def test_a_head_may_be_long(port: int) -> None:
    head = b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\nX: %b\r\n\r\n" % (b"x" * (MAX_HEAD // 2))
    assert exchange(port, head).startswith(b"HTTP/1.1 200 ")


def test_a_body_may_be_longer_than_any_head(port: int) -> None:
    head = b"POST /v2/repository/index HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (4 * MAX_HEAD)
    assert exchange(port, head + b"{" + b" " * (4 * MAX_HEAD - 2) + b"}").startswith(b"HTTP/1.1 200 ")


def test_what_comes_of_a_body_after_its_answer_is_no_request(port: int) -> None:
    body = b"POST /v2/models/identity_fp32/infer HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(b"POST /nowhere HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        refusal = b""
        while not refusal.endswith(b'{"error":"Not Found"}'):
            refusal += sock.recv(1 << 16)
        sock.sendall(body)
        sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := sock.recv(1 << 16):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"outputs" not in answer


def test_nothing_is_read_while_requests_wait_for_their_turn() -> None:
    told: list[str] = []
    transport: Any = SimpleNamespace(
        pause_reading=lambda: told.append("pause"), resume_reading=lambda: told.append("resume")
    )
    waiting: deque[Any] = deque(["a request"])
    flow = PipelineFlow(transport, waiting)
    flow.pause_reading()
    flow.resume_reading()  # as with every answer
    assert told == ["pause"]
    waiting.clear()
    flow.resume_reading()
    assert told == ["pause", "resume"]


def test_all_requests_of_a_connection_that_is_given_up_are_told() -> None:
    loop = asyncio.new_event_loop()
    config = uvicorn.Config(lambda: None, lifespan="off", log_config=None)
    config.load()
    connection = ApplicationConnection(config, ServerState(), {}, loop)
    cycles = [SimpleNamespace(disconnected=False, message_event=asyncio.Event()) for _ in range(3)]
    under_way, *waiting = cast("list[Any]", cycles)
    connection._cycle_under_way = under_way
    connection.pipeline.extend((cycle, cast("Any", None)) for cycle in waiting)
    connection._give_up()
    assert all(cycle.disconnected and cycle.message_event.is_set() for cycle in cycles)
    loop.close()


@pytest.mark.parametrize("lost", [None, ConnectionResetError()])
def test_a_connection_that_is_gone_is_not_kept_until_it_would_have_been_idle_for_too_long(
    lost: Exception | None,
) -> None:
    loop = asyncio.new_event_loop()
    config = uvicorn.Config(lambda: None, lifespan="off", log_config=None)
    config.load()
    connection = ApplicationConnection(config, ServerState(), {}, loop)
    connection.transport = cast("Any", SimpleNamespace(close=lambda: None, is_closing=lambda: True))
    timer = connection.timeout_keep_alive_task = loop.call_later(86_400, connection.timeout_keep_alive_handler)
    connection.connection_lost(lost)
    assert timer.cancelled()
    loop.close()


def test_pipelined_requests_of_a_client_that_reads_no_answer_are_not_read_either(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.settimeout(2)
        requests = b"GET /v2/models/identity_fp32/config HTTP/1.1\r\n\r\n" * 1000
        sent = 0
        with suppress(TimeoutError):
            while sent < 100_000_000:
                sent += sock.send(requests)
    assert sent < 50_000_000


def test_pipelined_requests_are_all_answered(port: int) -> None:
    get = b"GET /v2/health/live HTTP/1.1\r\n\r\n"
    post = HEAD + b"\r\n" + chunked(BODY + b" " * 200_000, 50_000)
    last = b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = exchange(port, (get * 3000 + post) * 3 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3 * 3001 + 1


async def test_the_application_is_told_who_talks_to_whom() -> None:
    told: list[tuple[Any, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        told.append((scope["client"], scope["server"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sock = bind("127.0.0.1", 0, False, "HTTP")
    address = sock.getsockname()
    config = uvicorn.Config(application, http=ApplicationConnection, lifespan="off", log_config=None)
    listener = Listener(sock, config, has_grace=False)
    await listener.start()
    reader, writer = await asyncio.open_connection(*address)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
    mine = writer.get_extra_info("sockname")
    writer.close()
    await writer.wait_closed()
    await listener.stop()
    assert told == [(mine, address)] * 2
