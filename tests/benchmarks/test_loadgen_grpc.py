"""The load generator's gRPC against gRPC's own server, and against one that does what that one seldom does. Skipped
without a C compiler."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from benchmarks import loadgen
from benchmarks.grpc_calls import HEADER_FIELDS, METHOD, PREFACE, beginning
from benchmarks.loadgen import build, generate
from hpack import Decoder, Encoder

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
GOOD_HEAD = ((":status", "200"), ("content-type", "application/grpc"))
OK = (("grpc-status", "0"),)
MESSAGE = b"message"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def answer(encoder: Encoder, stream: int, trailers: tuple[tuple[str, str], ...] = OK, message: bytes = b"hi") -> bytes:
    data = b"\0" + len(message).to_bytes(4, "big") + message
    return b"".join(
        [
            frame(HEADERS, 4, stream, encoder.encode(GOOD_HEAD)),
            *(frame(DATA, 0, stream, data[at : at + 16384]) for at in range(0, len(data), 16384)),
            frame(HEADERS, 5, stream, encoder.encode(trailers)),
        ]
    )


@dataclass
class Connection:
    """What one said, and how it is answered."""

    socket: socket.socket
    encoder: Encoder = field(default_factory=Encoder)
    decoder: Decoder = field(default_factory=Decoder)
    headers: list[tuple[tuple[str, str], ...]] = field(default_factory=list)
    messages: dict[int, bytes] = field(default_factory=dict)
    others: list[tuple[int, int, bytes]] = field(default_factory=list)
    """Frames that belong to no call: kind, flags and payload."""

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self.socket.recv(count - len(data))
            if not got:
                raise ConnectionError
            data += got
        return data

    def read_frame(self) -> tuple[int, int, int, bytes]:
        head = self.read(9)
        return head[3], head[4], int.from_bytes(head[5:], "big"), self.read(int.from_bytes(head[:3], "big"))


Answering = Callable[[Connection, int], bytes]
"""What is sent when the stream has its whole call."""


class Server:
    """One thread per connection. `opening` are its settings; `on_data` is sent after each DATA frame of a call that has
    more to come."""

    def __init__(self, answering: Answering, opening: bytes, on_data: Callable[[int, int], bytes]) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listening.getsockname()[1]
        self.connections: list[Connection] = []
        self._answering, self._opening, self._on_data = answering, opening, on_data
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _address = self.listening.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections.append(Connection(accepted))
                self._threads.append(threading.Thread(target=self._serve, args=(self.connections[-1],)))
                self._threads[-1].start()

    def _serve(self, connection: Connection) -> None:
        with connection.socket, suppress(ConnectionError):
            assert connection.read(len(PREFACE)) == PREFACE
            # With room for all the messages of a test.
            connection.socket.sendall(frame(SETTINGS, 0, 0, self._opening) + window_update(0, 1 << 30))
            while True:
                self._take(connection, *connection.read_frame())

    def _take(self, connection: Connection, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            fields = connection.decoder.decode(payload)
            connection.headers.append(tuple((str(name), str(value)) for name, value in fields))
        elif kind == DATA:
            connection.messages[stream] = connection.messages.get(stream, b"") + payload
            said = self._answering(connection, stream) if flags & 1 else self._on_data(stream, len(payload))
            connection.socket.sendall(said)
        else:
            connection.others.append((kind, flags, payload))

    @property
    def calls(self) -> int:
        return sum(len(each.messages) for each in self.connections)

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def serving(
    answering: Answering = lambda connection, stream: answer(connection.encoder, stream),
    opening: bytes = b"",
    on_data: Callable[[int, int], bytes] = lambda stream, size: b"",
) -> Iterator[Server]:
    server = Server(answering, opening, on_data)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def serving_with_grpc(behaviour: Callable[[bytes, Any], bytes]) -> Iterator[int]:
    handlers = {METHOD.rsplit("/", 1)[1]: grpc.unary_unary_rpc_method_handler(behaviour)}
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, options=(("grpc.max_receive_message_length", -1),))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(METHOD.split("/")[1], handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def write(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    monkeypatch.setattr(loadgen, "BUILT", built)
    assert build().exists()

    def written(message: bytes) -> Path:
        file = tmp_path / f"call-{len(list(tmp_path.iterdir()))}"
        file.write_bytes(beginning(message))
        return file

    return written


def prefixed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def test_a_closed_loop_counts_every_call_and_loses_none(write: Callable[[bytes], Path]) -> None:
    with serving() as server:
        load = generate(server.port, 3, 0.3, [write(MESSAGE)])
    assert len(server.connections) == 3
    assert server.calls == load.answered
    assert load.completed <= load.answered <= load.completed + 3
    assert (load.errors, load.reconnects) == (0, 0)
    assert 0 < load.latencies.p50 <= load.latencies.p99 <= load.latencies.longest


def test_all_calls_of_a_connection_have_the_same_headers_and_whole_messages(write: Callable[[bytes], Path]) -> None:
    with serving() as server:
        generate(server.port, 1, 0.1, [write(MESSAGE)])
    (connection,) = server.connections
    assert len(connection.messages) > 3
    assert set(connection.headers) == {HEADER_FIELDS}
    assert set(connection.messages.values()) == {prefixed(MESSAGE)}
    assert list(connection.messages) == [2 * number + 1 for number in range(len(connection.messages))]


def test_messages_have_their_turn_where_that_is_asked_for(write: Callable[[bytes], Path]) -> None:
    files = [write(b"%d" % number) for number in range(3)]
    with serving() as server:
        generate(server.port, 1, 0.1, files, in_turn=True)
    (connection,) = server.connections
    assert list(connection.messages.values())[:6] == [prefixed(b"%d" % number) for number in (0, 1, 2, 0, 1, 2)]


@pytest.mark.parametrize("size", [0, 10, 600_000])
def test_grpcs_own_server_understands_it(write: Callable[[bytes], Path], size: int) -> None:
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    seen: set[bytes] = set()

    def behaviour(request: bytes, context: Any) -> bytes:
        seen.add(request)
        return request

    with serving_with_grpc(behaviour) as port:
        load = generate(port, 2, 0.3, [write(message)])
    assert load.answered > 2
    assert (load.errors, load.resent, seen) == (0, 0, {message})


def test_another_status_than_0_is_an_error_and_no_throughput(
    write: Callable[[bytes], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    def behaviour(request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        raise AssertionError

    with serving_with_grpc(behaviour) as port:
        load = generate(port, 1, 0.1, [write(MESSAGE)])
    assert load.errors == load.answered > 0
    assert load.per_second == 0
    assert "grpc-status 14: busy" in capfd.readouterr().err


def test_errors_among_good_answers_are_found_whatever_the_table_of_headers_holds(
    write: Callable[[bytes], Path],
) -> None:
    # Every answer puts a field of its own into the table, so that the oldest ones are thrown out, and what the numbers
    # of the others mean changes all the time; texts are Huffman-coded.
    def answering(connection: Connection, stream: int) -> bytes:
        status = "13" if stream % 10 == 1 else "0"
        return answer(connection.encoder, stream, (("x-trace", f"{stream:0{stream % 90}d}~"), ("grpc-status", status)))

    with serving(answering) as server:
        load = generate(server.port, 1, 0.5, [write(MESSAGE)])
    wrong = sum(stream % 10 == 1 for stream in server.connections[0].messages)
    assert load.answered > 200
    assert load.errors == wrong


def test_a_call_that_is_reset_is_an_error(write: Callable[[bytes], Path], capfd: pytest.CaptureFixture[str]) -> None:
    with serving(lambda connection, stream: frame(RST_STREAM, 0, stream, b"\0\0\0\2")) as server:
        load = generate(server.port, 1, 0.1, [write(MESSAGE)])
    assert load.errors == load.answered == server.calls
    assert "RST_STREAM 2" in capfd.readouterr().err


def test_no_more_is_sent_than_the_server_has_room_for(write: Callable[[bytes], Path]) -> None:
    # Windows of 100 bytes at first, given back piece by piece; a frame that is larger would be a mistake of ours.
    opening = b"\0\4" + (100).to_bytes(4, "big")
    sizes: list[int] = []

    def on_data(stream: int, size: int) -> bytes:
        sizes.append(size)
        return window_update(0, size) + window_update(stream, size)

    message = bytes(range(250)) * 8
    with serving(opening=opening, on_data=on_data) as server:
        # The first call may be on its way before the server says anything.
        load = generate(server.port, 1, 0.2, [write(message)])
    assert load.answered > 1
    assert load.errors == 0
    assert max(sizes[len(message) // 100 :]) <= 100
    assert set(server.connections[0].messages.values()) == {prefixed(message)}


@pytest.mark.parametrize("rate", [0.0, 100.0])
def test_pings_and_settings_are_answered_at_once(write: Callable[[bytes], Path], rate: float) -> None:
    def answering(connection: Connection, stream: int) -> bytes:
        return answer(connection.encoder, stream) + frame(PING, 0, 0, b"%08d" % stream)

    with serving(answering) as server:
        generate(server.port, 1, 0.2, [write(MESSAGE)], rate)
    (connection,) = server.connections
    assert [each for each in connection.others if each[0] == SETTINGS and each[1] & 1] == [(SETTINGS, 1, b"")]
    pongs = [payload for kind, flags, payload in connection.others if (kind, flags) == (PING, 1)]
    assert pongs == [b"%08d" % stream for stream in connection.messages]


def test_answers_may_come_in_pieces(write: Callable[[bytes], Path]) -> None:
    def answering(connection: Connection, stream: int) -> bytes:
        whole = answer(connection.encoder, stream)
        for at in range(len(whole) - 1):
            connection.socket.sendall(whole[at : at + 1])
        return whole[-1:]

    with serving(answering) as server:
        load = generate(server.port, 1, 0.2, [write(MESSAGE)])
    assert load.answered == server.calls > 1
    assert load.errors == 0


def test_the_room_that_answers_take_is_given_back(write: Callable[[bytes], Path]) -> None:
    large = bytes(700_000)
    with serving(lambda connection, stream: answer(connection.encoder, stream, message=large)) as server:
        load = generate(server.port, 1, 0.3, [write(MESSAGE)])
    assert load.answered > 1
    given = [
        int.from_bytes(payload, "big") for kind, _, payload in server.connections[0].others if kind == WINDOW_UPDATE
    ]
    # The first one belongs to the beginning of the connection.
    assert given[1:]
    assert load.answered * 700_000 - sum(given[1:]) < 2 * 700_000


def test_a_server_may_send_connections_away(write: Callable[[bytes], Path]) -> None:
    def answering(connection: Connection, stream: int) -> bytes:
        away = frame(GOAWAY, 0, 0, stream.to_bytes(4, "big") + bytes(4)) if stream == 5 else b""
        return away + answer(connection.encoder, stream)

    with serving(answering) as server:
        load = generate(server.port, 2, 0.2, [write(MESSAGE)])
    assert load.answered == server.calls
    assert load.reconnects >= load.answered // 3 - 2
    assert (load.errors, load.resent) == (0, 0)


def test_a_call_on_a_connection_that_is_closed_is_made_again(write: Callable[[bytes], Path]) -> None:
    def answering(connection: Connection, stream: int) -> bytes:
        if stream == 5:
            connection.socket.shutdown(socket.SHUT_RDWR)
            raise ConnectionError
        return answer(connection.encoder, stream)

    with serving(answering) as server:
        load = generate(server.port, 1, 0.2, [write(MESSAGE)])
    assert load.resent > 0
    assert server.calls == load.answered + load.resent
    assert load.errors == 0
