"""Requests whose bodies are compressed: small ones are unpacked in the lane, all others are the application's."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from tests.support.serving import REPOSITORY, serving
from uvicorn.server import ServerState

from despina.http.answering_connection import Lane
from despina.http.compression import IN_THREAD_SIZE
from despina.http.infer_exchange import InferReply
from despina.http.lane import InferLane
from despina.http.request_head import LaneRules, RequestHeads

LIMIT = 1_000_000
INFER = "/v2/models/identity_fp32/infer"


def body(count: int) -> bytes:
    tensor = {"name": "INPUT0", "shape": [1, count], "datatype": "FP32", "data": [0.5] * count}
    return json.dumps({"inputs": [tensor]}).encode()


PACKED = {
    "sound": gzip.compress(body(3)),
    "sound deflate": zlib.compress(body(3)),
    "two members": gzip.compress(body(3)) + gzip.compress(b"x"),
    "with something behind it": gzip.compress(body(3)) + b"x",
    "no inference": gzip.compress(b'{"inputs":3}'),
    "empty": b"",
    "nothing in it": gzip.compress(b""),
    "not compressed": body(3),
    "truncated": gzip.compress(body(3))[:-5],
    "damaged": gzip.compress(body(3))[:-8] + bytes(8),
    "large": gzip.compress(body(20_000)),
    "large deflate": zlib.compress(body(20_000)),
    "large, with something behind it": gzip.compress(body(20_000)) + bytes(4),
    "beyond the limit": zlib.compress(bytes(LIMIT + 1)),
    "large as it comes": gzip.compress(json.dumps(list(range(50_000))).encode()),
}


def parts(packed: bytes, path: str = INFER, headers: str = "") -> tuple[bytes, bytes]:
    """Head and body."""
    encoding = "gzip" if packed.startswith(b"\x1f\x8b") else "deflate"
    lines = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {encoding}\r\n{headers}"
    return f"{lines}Content-Length: {len(packed)}\r\n\r\n".encode(), packed


def chunked(packed: bytes, path: str = INFER) -> tuple[bytes, bytes]:
    """The same, which the lane has nothing to do with."""
    head, _ = parts(packed, path, "Transfer-Encoding: chunked\r\n")
    head = b"".join(line for line in head.splitlines(True) if not line.startswith(b"Content-Length"))
    chunk = b"%x\r\n%b\r\n" % (len(packed), packed) if packed else b""
    return head, chunk + b"0\r\n\r\n"


@pytest.fixture(scope="module", params=[1, 2])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32", f"--http-max-input-size={LIMIT}"]
    with serving(REPOSITORY, [*flags, f"--http-workers={request.param}"]) as port:
        yield port


def exchange(port: int, *pieces: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Status line, sorted headers and body of the answer to a request, of which the pieces come one by one."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces[:-1]:
            sock.sendall(piece)
            # Whoever answers this has read what came before.
            with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
                other.sendall(b"GET /v2/health/live HTTP/1.1\r\n\r\n")
                assert other.recv(100).startswith(b"HTTP/1.1 200 ")
        sock.sendall(pieces[-1])
        with sock.makefile("rb") as answer:
            status = answer.readline()
            headers = sorted(iter(answer.readline, b"\r\n"))
            length = next(int(line.split(b":")[1]) for line in headers if line.lower().startswith(b"content-length"))
            return status, headers, answer.read(length)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("path", [INFER, "/v2/models/nobody/infer"])
def test_the_lane_and_the_application_answer_the_same(port: int, name: str, path: str) -> None:
    packed = PACKED[name]
    expected = exchange(port, *chunked(packed, path))
    head, _ = parts(packed, path)
    assert exchange(port, head + packed) == expected
    if packed:
        assert exchange(port, head, packed) == expected
        assert exchange(port, head + packed[:1], packed[1:]) == expected


@pytest.mark.parametrize("name", ["sound", "large deflate", "truncated"])
@pytest.mark.parametrize("last", [False, True])
def test_what_comes_behind_a_compressed_body_has_its_turn(port: int, name: str, last: bool) -> None:
    first = b"".join(parts(PACKED[name], headers="Connection: close\r\n" if last else ""))
    second = b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock, sock.makefile("rb") as answer:
        sock.sendall(first + second)
        assert answer.read().count(b"HTTP/1.1 ") == (1 if last else 2)


class Ways:
    """A connection without a socket. `unpacked` are the bodies that the lane took."""

    def __init__(self, limit: int) -> None:
        config = uvicorn.Config(lambda: None, lifespan="off", log_config=None)
        config.load()
        server: Any = SimpleNamespace(
            models=SimpleNamespace(get=lambda name, version: None), limits=SimpleNamespace(max_input_size=limit)
        )
        self.unpacked: list[bytes] = []
        self.handed_over: list[bytes] = []
        self.connection = InferLane(
            config, ServerState(), {}, cast("Any", SimpleNamespace()), lane=Lane(server, RequestHeads(LaneRules()))
        )
        self.connection.flow = cast("Any", SimpleNamespace(write_paused=False, resume_reading=lambda: None))
        self.connection.transport = cast("Any", SimpleNamespace(is_closing=lambda: False, write=lambda data: None))

    def exchange(self, server: Any, model: object, reply: Callable[[InferReply], None], client: object) -> Any:
        def start(body: memoryview, header_length: str | None, received_ns: int = 0) -> None:
            self.unpacked.append(bytes(body))
            reply(InferReply(200, [b"{}"], 2))

        return SimpleNamespace(model=model, start=start)


@pytest.mark.parametrize(
    ("name", "limit", "taken"),
    [
        ("sound", LIMIT, True),
        ("sound deflate", LIMIT, True),
        ("sound", len(body(3)), True),
        ("sound", len(body(3)) - 1, False),
        ("two members", LIMIT, True),
        ("with something behind it", LIMIT, False),
        ("truncated", LIMIT, False),
        ("damaged", LIMIT, False),
        ("large", LIMIT, False),
        ("large deflate", LIMIT, False),
        ("large, with something behind it", LIMIT, False),
        ("large as it comes", LIMIT, False),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_the_lane_unpacks_what_is_sound_and_small(
    name: str, limit: int, taken: bool, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways(limit)
    monkeypatch.setattr("despina.http.lane.InferExchange", ways.exchange)
    monkeypatch.setattr(
        "despina.http.application_connection.HttpToolsProtocol.data_received",
        lambda self, data: ways.handed_over.append(data),
    )
    head, packed = parts(PACKED[name])
    for piece in (head, packed) if cut else (head + packed,):
        ways.connection.data_received(piece)
    if taken:
        assert (ways.unpacked, ways.handed_over) == ([body(3)], [])
    else:
        assert (ways.unpacked, b"".join(ways.handed_over)) == ([], head + packed)


def test_a_body_that_is_large_as_it_comes_is_large() -> None:
    assert len(PACKED["large as it comes"]) > IN_THREAD_SIZE > len(PACKED["large"])


@pytest.mark.parametrize(("encoding", "status"), [("identity", b"200"), ("", b"501"), ("br", b"501")])
def test_an_encoding_that_is_unknown_or_has_no_name_is_not_supported(port: int, encoding: str, status: bytes) -> None:
    head, packed = parts(PACKED["not compressed"])
    head = head.replace(b"Encoding: deflate", b"Encoding: " + encoding.encode())
    answered, _, text = exchange(port, head + packed)
    assert answered.split()[1] == status
    assert (b"Unsupported compression type" in text) == (status == b"501")
