import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from benchmarks.contender import V2
from benchmarks.verify import WrongAnswer, verify
from benchmarks.workload import Workload

WORKLOAD = Workload("m", {"x": np.zeros((1, 2), np.float32)}, "y", np.ones((1, 2), np.float32), 0.1)


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """The port of a server that answers one connection, whatever it is asked, and ends it."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def response(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def verified(answer: bytes) -> None:
    with answering(answer) as port:
        verify(port, WORKLOAD, [V2.render(WORKLOAD, "json", 0)], V2.read(WORKLOAD, "json"), 1)


def test_the_right_answer_passes() -> None:
    verified(response('{"outputs": [{"shape": [1, 2], "data": [1, 1]}]}'))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (response('{"outputs": [{"shape": [1, 2], "data": [1, 3]}]}'), "another answer than the session's own"),
        (response("busy", "503 No"), "was answered 503: b'busy'"),
        (response('{"outputs": [{"shape": [1, 3], "data": [1, 1, 1]}]}'), 'was answered b\'{"outputs"'),
        (response("<html>"), "was answered b'<html>'"),
        (response('{"error": "no"}'), 'was answered b\'{"error"'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "was not answered in HTTP: IncompleteRead"),
        (b"garbage\r\n\r\n", "was not answered in HTTP: BadStatusLine"),
    ],
)
def test_everything_else_is_a_wrong_answer(answer: bytes, text: str) -> None:
    with pytest.raises(WrongAnswer) as raised:
        verified(answer)
    assert text in str(raised.value)
