"""Who gets a port that is held for the front ends of a server, and who does not."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.serving import free_port

from despina.errors import Unavailable
from despina.http.listener import bind
from despina.http.workers.held_port import hold_port, share_port


def listening(address: str, port: int, *, reuse_port: bool) -> socket.socket:
    """What a server does that is not one of ours."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
        sock.bind((address, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("mine", "theirs", "refused"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_nobody_else_gets_a_held_port(mine: str, theirs: str, refused: bool, shared: bool) -> None:
    port = free_port()
    with hold_port(mine, port) as held:
        if shared:
            share_port(held)
        if not refused:
            hold_port(theirs, port).close()
            return
        with pytest.raises(Unavailable, match=f"'{theirs}:{port}' already in use"):
            hold_port(theirs, port)
        with pytest.raises(OSError, match="already in use"):
            listening(theirs, port, reuse_port=False)
        if not shared:
            with pytest.raises(OSError, match="already in use"):
                listening(theirs, port, reuse_port=True)


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_that_somebody_listens_on_is_not_held(reuse_port: bool) -> None:
    port = free_port()
    with listening("127.0.0.1", port, reuse_port=reuse_port):
        for address in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(Unavailable, match="already in use"):
                hold_port(address, port)
    hold_port("127.0.0.1", port).close()


def test_two_at_the_same_moment_never_both_get_the_port() -> None:
    port, rounds = free_port(), 200
    together = threading.Barrier(2)

    def run(address: str) -> list[bool]:
        got = []
        for _ in range(rounds):
            together.wait()
            try:
                held = hold_port(address, port)
            except Unavailable:
                held = None
            got.append(held is not None)
            together.wait()
            if held is not None:
                held.close()
        return got

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, ("127.0.0.1", "0.0.0.0"))
    winners = [one + other for one, other in zip(first, second, strict=True)]
    assert max(winners) == 1
    assert sum(winners) > 0.9 * rounds  # each may see the other half-way, and then both are refused


def test_nobody_is_connected_to_a_held_port_before_somebody_listens() -> None:
    with hold_port("127.0.0.1", free_port()) as held:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(held.getsockname())
        share_port(held)
        with bind("127.0.0.1", held.getsockname()[1], True, "HTTP") as front_end:
            front_end.listen()
            socket.create_connection(held.getsockname()).close()


def test_a_port_is_had_again_while_the_connections_of_the_last_server_are_remembered() -> None:
    port = free_port()
    for _ in range(2):
        with hold_port("127.0.0.1", port) as held:
            share_port(held)
            front_end = listening("127.0.0.1", port, reuse_port=True)
            with front_end, socket.create_connection(("127.0.0.1", port)) as client:
                front_end.accept()[0].close()  # who closes first has the connection in TIME_WAIT
                assert client.recv(1) == b""


def test_any_free_port_is_held_like_one_that_was_named() -> None:
    with hold_port("127.0.0.1", 0) as held, pytest.raises(Unavailable, match="already in use"):
        hold_port(*held.getsockname())
