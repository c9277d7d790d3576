"""The compiled load generator against a server of a few lines. Skipped without a C compiler."""

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from benchmarks import loadgen
from benchmarks.loadgen import build, generate, read_load

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Answers every REQUEST, whatever its body, one thread per connection. Every connection ends after `per_connection`
    answers. `bodies` are those of each connection."""

    def __init__(self, answer: bytes, per_connection: int) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listening.getsockname()[1]
        self.answer = answer
        self.per_connection = per_connection
        self.served: list[int] = []
        self.bodies: list[list[bytes]] = []
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        while True:
            try:
                connection, _address = self.listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.threads.append(threading.Thread(target=self.serve, args=(connection,)))
            self.threads[-1].start()

    def serve(self, connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            served = 0
            self.bodies.append(bodies := [])
            while served < self.per_connection:
                request = b""
                while len(request) < len(REQUEST) and (data := connection.recv(len(REQUEST) - len(request))):
                    request += data
                if request[:-3] != REQUEST[:-3]:
                    break
                bodies.append(request[-3:])
                # In two pieces, so that the generator must put the head together.
                connection.sendall(self.answer[:20])
                connection.sendall(self.answer[20:])
                served += 1
            self.served.append(served)

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for thread in self.threads:
            thread.join()


@contextmanager
def serving(answer: bytes = OK, per_connection: int = 1_000_000_000) -> Iterator[Server]:
    server = Server(answer, per_connection)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def request_file(tmp_path: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(loadgen, "BUILT", built)
    assert build().exists()
    file = tmp_path / "request"
    file.write_bytes(REQUEST)
    return file


def test_a_closed_loop_counts_every_answer_and_loses_none(request_file: Path) -> None:
    with serving() as server:
        load = generate(server.port, 3, 0.3, [request_file])
    assert len(server.served) == 3
    assert sum(server.served) == load.answered
    assert load.completed <= load.answered <= load.completed + 3
    assert (load.errors, load.reconnects) == (0, 0)
    assert 0 < load.latencies.p50 <= load.latencies.p99 <= load.latencies.longest


@pytest.mark.parametrize(
    ("in_turn", "sent"), [(True, [["r0.", "r2.", "r4."], ["r1.", "r3.", "r5."]]), (False, [["r0."], ["r1."]])]
)
def test_all_requests_have_their_turn_where_that_is_asked_for(
    request_file: Path, in_turn: bool, sent: list[list[str]]
) -> None:
    files = [request_file.with_name(f"r{number}") for number in range(6)]
    for file in files:
        file.write_bytes(REQUEST[:-3] + f"{file.name}.".encode())
    with serving() as server:
        generate(server.port, 2, 0.1, files, in_turn=in_turn)
    for bodies, expected in zip(sorted(server.bodies), sent, strict=True):
        assert [body.decode() for body in bodies[:7]] == (expected * 7)[:7]


def test_an_open_loop_keeps_to_its_rate(request_file: Path) -> None:
    with serving() as server:
        load = generate(server.port, 8, 0.5, [request_file], rate=200.0)
    assert 60 <= load.answered <= 140
    assert load.errors == 0


def test_a_seed_chooses_the_arrivals(request_file: Path) -> None:
    with serving() as server:
        counts = [generate(server.port, 8, 0.05, [request_file], 20_000.0, seed).answered for seed in (1, 1, 2, 3)]
    assert counts[0] == counts[1]
    assert len(set(counts)) > 1


def test_what_was_due_is_sent_even_if_the_generator_was_stopped_until_the_end(request_file: Path) -> None:
    with serving() as server:
        command = [str(build()), str(server.port), "8", "0.3", "500", "5", "0", str(request_file)]
        undisturbed = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as generator:
            time.sleep(0.1)
            generator.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            generator.send_signal(signal.SIGCONT)
            stopped = json.loads(generator.communicate()[0])
    assert stopped["answered"] == undisturbed["answered"]
    assert stopped["max_ns"] > 100e6


def test_what_waits_for_a_connection_is_counted_from_when_it_was_due(request_file: Path) -> None:
    # Far more than one connection can carry: all but the first wait for those before them.
    with serving() as server:
        load = generate(server.port, 1, 0.02, [request_file], rate=100_000.0)
        alone = generate(server.port, 1, 0.1, [request_file])
    assert 1_500 < load.answered < 2_500
    assert load.latencies.p50 > 100 * alone.latencies.p50


@pytest.mark.parametrize("said", [b"Connection: close\r\n", b""])
def test_a_server_may_close_connections_whether_it_says_so_or_not(request_file: Path, said: bytes) -> None:
    with serving(b"HTTP/1.1 200 OK\r\n" + said + b"Content-Length: 2\r\n\r\nhi", per_connection=1) as server:
        load = generate(server.port, 2, 0.2, [request_file])
    assert load.answered == sum(server.served)
    assert load.reconnects >= load.answered - 2
    assert load.errors == 0
    # Who is not told sends the next request to nobody.
    assert (load.resent > 0) == (not said)


def test_other_answers_than_200_are_errors_and_no_throughput(
    request_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy") as server:
        load = generate(server.port, 1, 0.1, [request_file])
    assert load.errors == load.answered > 0
    assert load.per_second == 0
    assert "busy" in capfd.readouterr().err


def test_a_compiler_that_lacks_something_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadgen, "BUILT", tmp_path)
    monkeypatch.setattr(loadgen, "FOLDER", tmp_path)
    (tmp_path / "broken.c").write_text("#include <no_such_header.h>")
    with pytest.raises(loadgen.NoCompiler, match="cannot compile the load generator"):
        build()


def test_unanswered_requests_are_errors_too() -> None:
    told = {"completed": 5, "answered": 6, "seconds": 1.0, "errors": 1, "reconnects": 3, "resent": 2, "unanswered": 2}
    load = read_load({**told, "cpu_seconds": 0.1, "histogram": [[1000, 6]]})
    assert (load.errors, load.resent) == (3, 2)
