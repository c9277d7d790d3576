"""Requests with chunked bodies: small plain ones are answered in the lane, all others by the application."""

import gzip
import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from tests.support.serving import REPOSITORY, running, serving
from uvicorn.server import ServerState

from despina.errors import NotFound
from despina.http.answering_connection import Lane
from despina.http.infer_exchange import InferReply
from despina.http.lane import InferLane
from despina.http.request_head import LaneRules, RequestHeads

INFER = "/v2/models/identity_fp32/infer"
CODING = "Transfer-Encoding: chunked\r\n"
BODY = json.dumps(
    {"inputs": [{"name": "INPUT0", "shape": [1, 3], "datatype": "FP32", "data": [0.5, 1.5, 2.5]}]}
).encode()
LAST = b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n"


def head(headers: str = "", path: str = INFER, coding: str = CODING) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{coding}{headers}\r\n".encode()


def chunked(body: bytes, size: int = 1 << 20) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]) + b"0\r\n\r\n"


FRAMED = {
    "one chunk": chunked(BODY),
    "many chunks": chunked(BODY, 7),
    "no inference": chunked(b'{"inputs":3}'),
    "empty": chunked(b""),
    "extension": chunked(BODY).replace(b"\r\n", b";x=y\r\n", 1),
    "trailer": chunked(BODY)[:-2] + b"X: y\r\n\r\n",
    "zero before a size": b"0" + chunked(BODY),
    "space behind a size": chunked(BODY).replace(b"\r\n", b" \r\n", 1),
    "no size": b"\r\n" + chunked(BODY),
    "bare LF behind a size": chunked(BODY).replace(b"\r\n", b"\n", 1),
    "bare LF behind a chunk": chunked(BODY)[:-7] + b"\n0\r\n\r\n",
    "size too small": chunked(BODY).replace(b"%x" % len(BODY), b"%x" % (len(BODY) - 1), 1),
    "size too large": chunked(BODY).replace(b"%x" % len(BODY), b"%x" % (len(BODY) + 1), 1),
    "no number": b"nonsense" + chunked(BODY),
    "huge size": b"1" + b"0" * 16 + chunked(BODY),
    "large": chunked(BODY + b" " * 300_000),
    "large in small chunks": chunked(BODY + b" " * 100_000, 1000),
}
HEADS = {
    "plain": head(),
    "no such model": head(path="/v2/models/nobody/infer"),
    "no such version": head(path="/v2/models/identity_fp32/versions/7/infer"),
    "header length": head(f"Inference-Header-Content-Length: {len(BODY)}\r\n"),
    "wrong header length": head("Inference-Header-Content-Length: 9999\r\n"),
    "compressed reply": head("Accept-Encoding: gzip\r\n"),
    "closes": head("Connection: close\r\n"),
    "length as well": head("Content-Length: 5\r\n"),
    "length before": head(coding="Content-Length: 5\r\n" + CODING),
    "twice": head(CODING),
    "identity besides": head("Transfer-Encoding: identity\r\n"),
    "list": head(coding="Transfer-Encoding: identity, chunked\r\n"),
    "not the last": head(coding="Transfer-Encoding: chunked, identity\r\n"),
    "waits": head("Expect: 100-continue\r\n"),
    "old": head("Connection: keep-alive\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "space before the colon": head(coding="Transfer-Encoding : chunked\r\n"),
    "folded": head(coding="Transfer-Encoding:\r\n chunked\r\n"),
    "bare LF": head().replace(b"chunked\r\n", b"chunked\n"),
}


def for_the_application(request: bytes) -> bytes:
    """The same in another spelling, which the lane has nothing to do with."""
    return request.replace(b"chunked", b"CHUNKED")


@pytest.fixture(scope="module", params=[1, 2])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32", f"--http-workers={request.param}"]
    with serving(REPOSITORY, flags) as port:
        conversation(port, head() + chunked(BODY) + LAST)  # front ends ask for a model when it is first wanted
        yield port


def conversation(port: int, *pieces: bytes) -> list[tuple[bytes, list[bytes], bytes]]:
    """Status line, sorted headers and body of all answers until the server hangs up. The pieces come one by one."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):  # refused before the end, as it may be
            for piece in pieces[:-1]:
                sock.sendall(piece)
                # Whoever answers this has read what came before.
                with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
                    other.sendall(LAST)
                    assert other.recv(100).startswith(b"HTTP/1.1 200 ")
            sock.sendall(pieces[-1])
        answers = []
        with suppress(ConnectionError), sock.makefile("rb") as stream:
            while status := stream.readline():
                headers = sorted(line.upper() for line in iter(stream.readline, b"\r\n"))
                length = next((int(line.split(b":")[1]) for line in headers if line.startswith(b"CONTENT-LENGTH")), 0)
                answers.append((status, headers, stream.read(length).upper()))
        return answers


@pytest.mark.parametrize(
    ("name", "framing"),
    [*((name, "one chunk") for name in HEADS), *(("plain", framing) for framing in FRAMED), ("closes", "extension")],
)
def test_the_lane_and_the_application_answer_the_same(port: int, name: str, framing: str) -> None:
    begin, body = HEADS[name], FRAMED[framing]
    expected = conversation(port, for_the_application(begin) + body + LAST)
    assert expected
    assert conversation(port, begin + body + LAST) == expected
    assert conversation(port, begin, body + LAST) == expected
    assert conversation(port, begin + body[:9], body[9:] + LAST) == expected


@pytest.mark.parametrize("cut", [True, False])
def test_what_comes_behind_a_chunked_body_has_its_turn(port: int, cut: bool) -> None:
    request = head() + chunked(BODY)
    pieces = [request * 2 + request[:-9], request[-9:] + request + LAST] if cut else [request * 4 + LAST]
    assert [status for status, _, _ in conversation(port, *pieces)] == [b"HTTP/1.1 200 OK\r\n"] * 5


@pytest.mark.parametrize("cut", [True, False])
def test_what_comes_behind_a_refused_one_has_its_turn_once(port: int, cut: bool) -> None:
    refused, request = head() + FRAMED["no inference"], head() + chunked(BODY)
    pieces = [refused[:-9], refused[-9:] + request] if cut else [refused + request]
    answers = [status[9:12] for status, _, _ in conversation(port, *pieces, request, LAST)]
    assert answers == [b"500", b"200", b"200", b"200"]


def test_an_unknown_model_is_told_before_the_body_is_here(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(HEADS["no such model"] + b"5\r\n")
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 404 ")
        sock.sendall(b"hello\r\n0\r\n\r\n" + LAST)
        with sock.makefile("rb") as stream:
            assert stream.read().count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        (head() + chunked(BODY)[:9], chunked(BODY)[9:]),
        (head() + chunked(BODY)[:9], chunked(BODY)[9:-5] + b"0;x=y\r\n\r\n"),
        (head(f"Content-Length: {len(BODY)}\r\n", coding="") + BODY[:9], BODY[9:]),
    ],
    ids=["chunked", "unusual", "measured"],
)
def test_a_server_that_ends_waits_for_a_body_that_has_begun_to_come(tmp_path: Path, begun: bytes, rest: bytes) -> None:
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32", "--allow-metrics=false"]
    with (
        running(REPOSITORY, flags, tmp_path / "log") as (process, port),
        socket.create_connection(("127.0.0.1", port), timeout=30) as sock,
        socket.create_connection(("127.0.0.1", port), timeout=30) as idle,
    ):
        sock.sendall(begun)
        idle.sendall(b"GET /v2/health/live HTTP/1.1\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200 ")
        process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        sock.sendall(rest)
        with sock.makefile("rb") as stream:
            answer = stream.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert process.wait(30) == 0


class Ways:
    """A connection without a socket. `bodies` are those that the lane took, `received_ns` is since when they came if
    that is known, `handed_over` is what the application got to read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, has_model: bool = True) -> None:
        config = uvicorn.Config(lambda: None, lifespan="off", log_config=None)
        config.load()

        def get(name: str, version: int | None) -> None:
            if not has_model:
                raise NotFound("no such model")

        server: Any = SimpleNamespace(models=SimpleNamespace(get=get))
        self.bodies: list[bytes] = []
        self.received_ns: list[int] = []
        self.handed_over: list[bytes] = []
        self.connection = InferLane(
            config, ServerState(), {}, cast("Any", SimpleNamespace()), lane=Lane(server, RequestHeads(LaneRules()))
        )
        nothing = lambda: None  # noqa: E731
        self.connection.flow = cast(
            "Any", SimpleNamespace(write_paused=False, resume_reading=nothing, pause_reading=nothing)
        )
        self.connection.transport = cast("Any", SimpleNamespace(is_closing=lambda: False, write=lambda data: None))
        monkeypatch.setattr("despina.http.lane.InferExchange", self.exchange)
        monkeypatch.setattr(
            "despina.http.application_connection.HttpToolsProtocol.data_received",
            lambda connection, data: self.handed_over.append(data),
        )

    def exchange(self, server: Any, model: object, reply: Callable[[InferReply], None], client: object) -> Any:
        def start(body: memoryview, header_length: str | None, received_ns: int = 0) -> None:
            self.bodies.append(bytes(body))
            self.received_ns.append(received_ns)
            reply(InferReply(200, [b"{}"], 2))

        return SimpleNamespace(model=model, start=start)


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        (head() + FRAMED["one chunk"], True),
        (head() + FRAMED["many chunks"], True),
        (head("Content-Encoding: identity\r\n") + FRAMED["one chunk"], True),
        (head() + FRAMED["extension"], False),
        (head() + FRAMED["trailer"], False),
        (head() + FRAMED["zero before a size"], False),
        (head() + FRAMED["bare LF behind a chunk"], False),
        (head("Content-Encoding: gzip\r\n") + chunked(gzip.compress(BODY)), False),
        (head("Content-Length: 5\r\n") + FRAMED["one chunk"], False),
        (head(coding="Transfer-Encoding: CHUNKED\r\n") + FRAMED["one chunk"], False),
        (head(coding="Transfer-Encoding: chunked \t\r\n") + FRAMED["one chunk"], False),
    ],
)
@pytest.mark.parametrize("cut", [None, "head", "size", "chunk", "end"])
def test_the_lane_takes_what_is_plain(
    sent: bytes, taken: bool, cut: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = Ways(monkeypatch)
    begin = sent.index(b"\r\n\r\n") + 4
    at = {None: 0, "head": begin, "size": begin + 1, "chunk": begin + 6, "end": len(sent) - 1}[cut]
    for piece in (sent[:at], sent[at:]):
        if piece:
            ways.connection.data_received(piece)
    if taken:
        assert (ways.bodies, ways.handed_over) == ([BODY], [])
    else:
        assert (ways.bodies, b"".join(ways.handed_over)) == ([], sent)


def test_a_large_body_is_handed_over_with_its_first_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(monkeypatch)
    ways.connection.data_received(head() + b"4\r\nabcd\r\n")
    assert ways.handed_over == []
    ways.connection.data_received(b"20000\r\n")
    assert ways.handed_over == [head() + b"4\r\nabcd\r\n", b"20000\r\n"]


def test_nobody_waits_for_the_body_of_a_request_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(monkeypatch, has_model=False)
    ways.connection.data_received(head())
    assert ways.handed_over == [head()]


def test_since_when_a_body_came_is_not_what_is_known_of_one_that_was_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways = Ways(monkeypatch)
    plain, unusual = head() + FRAMED["one chunk"], head() + FRAMED["trailer"]
    for piece in (plain[:-9], plain[-9:], plain, unusual[:-9], unusual[-9:], plain):
        ways.connection.data_received(piece)
    assert len(ways.bodies) == 3
    assert len(ways.handed_over) == 2
    assert [bool(since) for since in ways.received_ns] == [True, False, False]


def test_after_a_chunked_body_in_pieces_another_request_may_come_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = Ways(monkeypatch)
    length = f"Content-Length: {len(BODY)}\r\n"
    for sent in (head() + FRAMED["many chunks"], head(length, coding="") + BODY) * 2:
        ways.connection.data_received(sent[:-9])
        ways.connection.data_received(sent[-9:])
    assert (ways.bodies, ways.handed_over) == ([BODY] * 4, [])
