"""The infer lane over real sockets: framing, pipelining, switching between lane and application, hang-ups."""

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.asking import ask
from tests.support.serving import REPOSITORY, serving

INFER = "/v2/models/identity_fp32/infer"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32", "--load-model=add_sub_int32"]
    with serving(REPOSITORY, [*flags, "--http-max-input-size=1000000"]) as port:
        yield port


@pytest.fixture
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


def request(values: list[float], path: str = INFER, headers: str = "") -> bytes:
    row = np.array(values, "<f4").tobytes()
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "INPUT0",
                    "shape": [1, len(values)],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": len(row)},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    lines = f"POST {path} HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: {len(head)}\r\n{headers}"
    return f"{lines}Content-Length: {len(head) + len(row)}\r\n\r\n".encode() + head + row


def json_request(document: object, path: str = INFER) -> bytes:
    body = json.dumps(document).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Reader:
    """Reads one HTTP response after another."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def _until(self, size: int) -> None:
        while len(self._buffer) < size:
            piece = self._sock.recv(1 << 20)
            assert piece, f"connection closed after {self._buffer[:200]!r}"
            self._buffer += piece

    def response(self) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self._buffer:
            self._until(len(self._buffer) + 1)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        self._until(length)
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return int(status.split()[1]), headers, body

    def values(self) -> list[float]:
        status, headers, body = self.response()
        assert status == 200, body
        body = {"gzip": gzip.decompress, "deflate": zlib.decompress, "": bytes}[headers.get("content-encoding", "")](
            body
        )
        rest: list[float] = np.frombuffer(body[int(headers["inference-header-content-length"]) :], "<f4").tolist()
        return rest


def test_requests_on_one_connection_get_their_own_answers(connection: socket.socket) -> None:
    reader = Reader(connection)
    for number in range(5):
        connection.sendall(request([number, 1.0]))
        assert reader.values() == [number, 1.0]


def test_a_connection_outlives_the_model_it_asked(connection: socket.socket, port: int) -> None:
    reader = Reader(connection)

    def ask_for(action: str) -> None:
        assert ask(port, "POST", f"/v2/repository/models/identity_fp32/{action}").status == 200

    for number in range(3):
        connection.sendall(request([number]))
        assert reader.values() == [number]
    ask_for("unload")
    connection.sendall(request([3.0]))
    assert reader.response()[0] == 404
    ask_for("load")
    for number in range(4, 7):
        connection.sendall(request([number]))
        assert reader.values() == [number]


def test_pipelined_requests_are_answered_in_order(connection: socket.socket) -> None:
    connection.sendall(b"".join(request([number]) for number in range(20)))
    reader = Reader(connection)
    assert [reader.values() for _ in range(20)] == [[number] for number in range(20)]


def test_a_request_may_arrive_in_pieces_of_any_size(connection: socket.socket) -> None:
    reader = Reader(connection)
    data = request([1.0, 2.0, 3.0])
    for cut in (1, 10, data.index(b"\r\n\r\n") + 2, data.index(b"\r\n\r\n") + 4, len(data) - 1):
        connection.sendall(data[:cut])
        # Only with a pause does the server see two pieces; without one the test would still be right, but pointless.
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(data[cut:])
        assert reader.values() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("count", [1, 20_000, 1_000_000])
def test_bodies_of_all_sizes_come_back_whole(connection: socket.socket, count: int) -> None:
    values = np.arange(count, dtype="<f4")
    connection.sendall(request(values.tolist()) + request([7.0]))
    reader = Reader(connection)
    assert np.array_equal(reader.values(), values)
    assert reader.values() == [7.0]


@pytest.mark.parametrize("count", [1, 1_024, 1_025, 5_000, 20_000])
def test_each_of_many_like_requests_gets_its_own_data(connection: socket.socket, count: int) -> None:
    reader = Reader(connection)
    for number in range(4):
        values = np.arange(number, number + count, dtype="<f4")
        connection.sendall(request(values.tolist()))
        assert np.array_equal(reader.values(), values)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_answers_are_compressed_where_that_is_accepted_and_keep_their_order(
    connection: socket.socket, encoding: str
) -> None:
    accepting = f"Accept-Encoding: {encoding}\r\n"
    long = list(range(100_000))
    connection.sendall(
        request([1.0], headers=accepting)
        + request(long, headers=accepting)
        + request([2.0])
        + request([3.0, 4.0], path="/v2/models/nobody/infer", headers=accepting)
        + request([5.0], headers=accepting)
    )
    reader = Reader(connection)
    assert reader.response()[1]["content-encoding"] == encoding
    assert reader.values() == long
    status, headers, _ = reader.response()
    assert (status, "content-encoding" in headers) == (200, False)
    status, headers, _ = reader.response()
    assert (status, "content-encoding" in headers) == (404, False)
    assert reader.values() == [5.0]


def test_a_request_like_an_earlier_one_is_answered_as_it_asks_not_as_the_last_one_did(
    connection: socket.socket,
) -> None:
    reader = Reader(connection)
    plain, packed = request([0.0] * 1000), request([0.0] * 1001, headers="Accept-Encoding: gzip\r\n")
    for sent in (plain, plain, packed, plain):
        connection.sendall(sent)
        status, headers, _ = reader.response()
        assert (status, headers.get("content-encoding")) == (200, "gzip" if sent is packed else None)


def test_lane_and_application_take_turns_on_one_connection(connection: socket.socket) -> None:
    reader = Reader(connection)
    metadata = b"GET /v2/models/identity_fp32 HTTP/1.1\r\nHost: x\r\n\r\n"
    compressed = request([3.0], headers="Accept-Encoding: gzip\r\n")
    for _ in range(3):
        connection.sendall(request([1.0]))
        assert reader.values() == [1.0]
        connection.sendall(metadata)
        assert json.loads(reader.response()[2])["name"] == "identity_fp32"
        connection.sendall(compressed)
        assert reader.response()[1]["content-encoding"] == "gzip"


def test_lane_and_application_take_turns_in_one_packet(connection: socket.socket) -> None:
    metadata = b"GET /v2/models/identity_fp32 HTTP/1.1\r\nHost: x\r\n\r\n"
    connection.sendall(request([1.0]) + metadata + request([2.0]) + metadata)
    reader = Reader(connection)
    assert reader.values() == [1.0]
    assert json.loads(reader.response()[2])["name"] == "identity_fp32"
    assert reader.values() == [2.0]
    assert json.loads(reader.response()[2])["name"] == "identity_fp32"


def test_a_chunked_body_is_served(connection: socket.socket) -> None:
    whole = request([4.0, 5.0])
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
    connection.sendall(b"\r\n".join([*lines, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + chunks)
    assert Reader(connection).values() == [4.0, 5.0]


@pytest.mark.parametrize(
    ("sent", "status", "text"),
    [
        (request([1.0], "/v2/models/ghost/infer"), 404, "Request for unknown model: 'ghost' is not found"),
        (json_request({"inputs": 1}), 500, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        (json_request([]), 500, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        (request([1.0], "/v2/models/identity_fp32/versions/9/infer"), 404, "version 9 is not found"),
        (b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200, "OUTPUT0"),
    ],
)
def test_the_connection_lives_on_after_an_error(connection: socket.socket, sent: bytes, status: int, text: str) -> None:
    reader = Reader(connection)
    connection.sendall(sent)
    got, _, body = reader.response()
    assert (got, text in body.decode()) == (status, True)
    connection.sendall(request([1.0]))
    assert reader.values() == [1.0]


def test_the_same_head_with_a_wrong_amount_of_data_is_still_refused(connection: socket.socket) -> None:
    reader = Reader(connection)
    good = request([1.0, 2.0])
    connection.sendall(good)
    assert reader.values() == [1.0, 2.0]
    head, _, body = good.partition(b"\r\n\r\n")
    length = int(head.rsplit(b" ", 1)[1])
    connection.sendall(head.replace(b": %d" % length, b": %d" % (length + 4)) + b"\r\n\r\n" + body + b"abcd")
    status, _, answer = reader.response()
    assert status == 400
    assert b"unexpected additional input data for model 'identity_fp32'" in answer


def test_connection_close_is_honoured(connection: socket.socket) -> None:
    connection.sendall(request([1.0], headers="Connection: close\r\n"))
    assert Reader(connection).values() == [1.0]
    assert connection.recv(10) == b""


def test_what_comes_behind_the_last_request_of_a_connection_is_not_answered(connection: socket.socket) -> None:
    connection.sendall(request([1.0]) + request([2.0], headers="Connection: close\r\n") + request([3.0]))
    reader = Reader(connection)
    assert reader.values() == [1.0]
    assert reader.values() == [2.0]
    assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request([1.0] * 30_000, headers="Connection: close\r\n"), b"200"),
        (request([1.0], INFER.replace("identity", "nobody"), "Connection: close\r\n"), b"404"),
        (b"GET /v2/models/identity_fp32/config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_the_last_answer_is_not_lost_for_what_comes_behind_its_request(port: int, sent: bytes, status: bytes) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(sent + bytes(600_000))
            answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status)
        assert b"content-length: %d" % len(body) in head.lower()


def test_garbage_gets_400_and_the_server_lives_on(connection: socket.socket, port: int) -> None:
    connection.sendall(b"\x16\x03\x01\x02\x00garbage\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 400")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
        other.sendall(request([1.0]))
        assert Reader(other).values() == [1.0]


def test_hanging_up_in_the_middle_of_a_body_disturbs_nobody(port: int, connection: socket.socket) -> None:
    for size in (10, 200_000):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as gone:
            data = request([1.0] * size)
            gone.sendall(data[: len(data) // 2])
    connection.sendall(request([2.0]))
    assert Reader(connection).values() == [2.0]


def send_forever(sock: socket.socket, data: bytes) -> None:
    for _ in range(100_000):
        sock.sendall(data)


def test_a_client_that_pipelines_and_never_reads_is_not_served_forever(port: int, connection: socket.socket) -> None:
    """Answers nobody takes must not pile up: the server stops reading from such a connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as deaf, pytest.raises(TimeoutError):
        send_forever(deaf, request([1.0] * 4000))
    connection.sendall(request([2.0]))
    assert Reader(connection).values() == [2.0]


def test_what_is_no_http_is_answered_as_an_error_of_the_protocol(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
    status, headers, body = Reader(connection).response()
    assert (status, headers["content-type"], headers["connection"]) == (400, "application/json", "close")
    assert json.loads(body) == {"error": "Invalid HTTP request received."}
    assert connection.recv(1) == b""


@pytest.mark.parametrize(
    "headers",
    [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "upgrade: websocket\r\nconnection: upgrade\r\n",
    ],
)
def test_a_request_for_another_protocol_is_answered_in_this_one(connection: socket.socket, headers: str) -> None:
    reader = Reader(connection)
    for number in range(3):
        connection.sendall(request([number], headers=headers) + request([number + 1]))
        assert reader.values() == [number]
        assert reader.values() == [number + 1]


def test_it_is_answered_just_as_well_when_its_head_comes_in_two_pieces(port: int, connection: socket.socket) -> None:
    whole = request([5.0], headers="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n")
    reader = Reader(connection)
    for cut in range(whole.index(b"Connection"), whole.index(b"\r\n\r\n") + 4, 3):
        connection.sendall(whole[:cut])
        # When this one is answered, the first piece has been read.
        with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
            other.sendall(request([1.0]))
            assert Reader(other).values() == [1.0]
        connection.sendall(whole[cut:])
        assert reader.values() == [5.0]


def test_a_client_that_hangs_up_on_the_application_leaves_no_trace_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32", f"--log-file={log}"]
    index = b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with serving(REPOSITORY, flags) as port:
        for data in (index, index * 3, index * 2 + b"nonsense\r\n\r\n"):
            for _ in range(20):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1 << 16):
                        pass
    assert "Traceback" not in log.read_text()


def test_what_asks_for_another_protocol_in_a_body_stays_as_it_is(connection: socket.socket) -> None:
    values = np.frombuffer(b"\nupgrade: h2c\n\n\n", "<f4").tolist()
    head, _, body = request(values, headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\n\r\n")
    assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)
    assert Reader(connection).values() == values


def test_connections_that_are_idle_do_not_keep_a_server_from_exiting() -> None:
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32", "--exit-timeout-secs=60"]
    with serving(REPOSITORY, flags) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request([1.0]))
        assert Reader(sock).values() == [1.0]
        idle = sock.dup()
    with idle:
        assert idle.recv(1) == b""
