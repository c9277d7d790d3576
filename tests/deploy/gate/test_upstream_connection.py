from typing import Any

import pytest

from despina.deploy.gate.upstream_connection import UpstreamConnection


class Transport:
    closing = False

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


class Exchange:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def response_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.heard.append((status, headers))

    def response_body(self, data: bytes) -> None:
        self.heard.append(data)

    def response_end(self, *, keep_alive: bool) -> None:
        self.heard.append(keep_alive)

    def upstream_lost(self) -> None:
        self.heard.append("lost")


def connected() -> tuple[UpstreamConnection, Transport, Any]:
    """A connection, its transport, and an exchange for it."""
    connection, transport = UpstreamConnection(), Transport()
    made: Any = transport
    connection.connection_made(made)
    return connection, transport, Exchange()


@pytest.mark.parametrize(
    ("response", "heard"),
    [
        (
            b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nhi",
            [(200, [(b"A", b"b"), (b"Content-Length", b"2")]), b"hi", True],
        ),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            [(200, [(b"Connection", b"close"), (b"Content-Length", b"0")]), False],
        ),
        (b"nonsense\r\n", ["lost"]),
    ],
)
async def test_response_is_told_part_by_part(response: bytes, heard: list[object]) -> None:
    connection, _, exchange = connected()
    connection.begin(exchange)
    connection.data_received(response)
    assert exchange.heard == heard


async def test_connection_is_used_again_unless_it_is_old_or_closing() -> None:
    connection, transport, exchange = connected()
    assert connection.fresh
    connection.begin(exchange)
    connection.finish(10)
    assert not connection.fresh
    assert (connection.usable(9), connection.usable(10)) == (True, False)
    transport.closing = True
    assert not connection.usable(9)


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    connection, transport, exchange = connected()
    connection.begin(exchange)
    connection.finish(10)
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    assert transport.closing
    assert exchange.heard == []
