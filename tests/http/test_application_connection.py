"""Chunked requests over real sockets."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from serving import serving

from despina.http.application_connection import MAX_HEAD

REPOSITORY = Path(__file__).parents[1] / "conformance" / "repo_main"
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


def test_a_head_may_be_long(port: int) -> None:
    head = b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\nX: %b\r\n\r\n" % (b"x" * (MAX_HEAD // 2))
    assert exchange(port, head).startswith(b"HTTP/1.1 200 ")


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
