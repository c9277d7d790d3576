"""The end of a server, for those that are connected to it."""

import http.client
import socket
import time
from pathlib import Path

import pytest
from tests.support.front_ends import TWO_NUMBERS, post, server, until

GRACIOUS = "import despina.http.listener as l; l.GRACE_S = 20; import despina.cli.main as m; m.main()"
"""A server that waits long for idle connections at its end, with one process."""


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/v2/models/quick/infer", 200), ("GET", "/v2/health/ready", 503)]
)
def test_an_idle_connection_gets_one_more_answer_at_the_end_and_nobody_waits_longer(
    repository: Path, method: str, path: str, status: int
) -> None:
    body = TWO_NUMBERS if method == "POST" else None
    with server(repository, ["--http-workers=1"], program=("-c", GRACIOUS)) as serving:
        connections = [http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20) for _ in range(3)]
        for connection in connections:
            connection.connect()
        post(connections[0], "quick", TWO_NUMBERS)
        serving.process.terminate()
        until(lambda: not listens(serving.port))
        began = time.monotonic()
        for connection in connections:
            connection.request(method, path, body)
            response = connection.getresponse()
            response.read()
            assert (response.status, response.getheader("connection")) == (status, "close")
        assert serving.process.wait(timeout=15) == 0
        assert time.monotonic() - began < 15


def test_a_server_without_connections_ends_at_once(repository: Path) -> None:
    with server(repository, ["--http-workers=1"], program=("-c", GRACIOUS)) as serving:
        serving.process.terminate()
        assert serving.process.wait(timeout=15) == 0
