"""Connections that are closed while the client still sends, on the loops of production and of the standard library."""

import asyncio
import gc
import socket
import ssl
import subprocess
import time
import weakref
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from typing import Any

import pytest
import uvloop

from despina import lingering
from despina.lingering import LingeringTransport

ANSWER = b"a" * 3_000_000
"""More than the system keeps for a client that does not read."""


class Hasty(asyncio.Protocol):
    """Answers the first bytes and closes, whatever else there is."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = LingeringTransport(transport, self)

    def data_received(self, data: bytes) -> None:
        self.received += 1
        self.transport.write(ANSWER)
        self.transport.close()
        assert self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)


Scenario = Callable[[socket.socket, Hasty], Coroutine[Any, Any, None]]


def run(scenario: Scenario) -> None:
    async def on_a_connection() -> None:
        loop = asyncio.get_running_loop()
        mine, theirs = socket.socketpair()
        with mine:
            mine.setblocking(False)
            _, hasty = await loop.connect_accepted_socket(Hasty, theirs)
            await asyncio.wait_for(scenario(mine, hasty), 20)
            hasty.transport.abort()
            await asyncio.sleep(0)

    uvloop.run(on_a_connection())
    asyncio.run(on_a_connection())


async def read_all(sock: socket.socket) -> bytes:
    found = []
    while data := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
        found.append(data)
    return b"".join(found)


async def send_on_and_on(sock: socket.socket) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(sock, b"x")
        await asyncio.sleep(0.005)


def test_the_answer_is_whole_although_more_came_than_was_read() -> None:
    async def scenario(sock: socket.socket, hasty: Hasty) -> None:
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(sock, b"x" * 5_000_000))
        await asyncio.sleep(0.05)
        assert not hasty.lost.done()  # the answer is still on its way
        assert await read_all(sock) == ANSWER
        await sending
        await hasty.lost
        assert hasty.received == 1

    run(scenario)


def test_a_client_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "QUIET_S", 0.05)

    async def scenario(sock: socket.socket, hasty: Hasty) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, b"x")
        await read_all(sock)
        await hasty.lost
        await asyncio.sleep(0.2)
        with pytest.raises(ConnectionError):
            await send_on_and_on(sock)

    run(scenario)


@pytest.mark.parametrize(("bound", "value"), [("LONGEST_S", 0.0), ("MOST_BYTES", 100)])
def test_a_client_that_sends_on_and_on_is_cut_off(monkeypatch: pytest.MonkeyPatch, bound: str, value: float) -> None:
    monkeypatch.setattr(lingering, "QUIET_S", 0.05)
    monkeypatch.setattr(lingering, bound, value)

    async def scenario(sock: socket.socket, hasty: Hasty) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, b"x")
        await read_all(sock)
        with pytest.raises(ConnectionError):
            await send_on_and_on(sock)

    run(scenario)


def test_a_connection_that_the_client_ends_is_freed_without_the_collector() -> None:
    async def scenario() -> None:
        mine, theirs = socket.socketpair()
        _, hasty = await asyncio.get_running_loop().connect_accepted_socket(Hasty, theirs)
        mine.close()
        await hasty.lost
        gone = weakref.ref(hasty)
        gc.disable()
        try:
            del hasty
            await asyncio.sleep(0.01)
            assert gone() is None
        finally:
            gc.enable()

    uvloop.run(scenario())
    asyncio.run(scenario())


@pytest.mark.parametrize("more", [b"", b"x" * 1000], ids=["nothing", "something"])
def test_a_connection_on_which_all_was_read_does_not_linger(more: bytes) -> None:
    async def scenario(sock: socket.socket, hasty: Hasty) -> None:
        transport = hasty.transport
        transport.pause_reading()
        sock.send(more)
        transport.write(b"answer")
        transport.close_clean()
        assert await read_all(sock) == b"answer"
        with pytest.raises(BrokenPipeError) if not more else nullcontext():
            sock.send(b"late")

    run(scenario)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What a server shows that signs itself."""
    made = tmp_path_factory.mktemp("keys") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=server"]
    written = subprocess.run([*command, "-keyout", "-", "-out", "-"], check=True, capture_output=True).stdout
    made.write_bytes(written)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made)
    return context


def run_tls(certificate: ssl.SSLContext, client: Callable[[ssl.SSLSocket], None]) -> None:
    """`client` keeps the connection when it is through, and the server ends it all the same."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def connected(port: int) -> ssl.SSLSocket:
        sock = trusting.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
        client(sock)
        return sock

    async def on_a_connection() -> None:
        made: list[Hasty] = []

        def accept() -> Hasty:
            made.append(Hasty())
            return made[0]

        server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0, ssl=certificate)
        with await asyncio.to_thread(connected, server.sockets[0].getsockname()[1]):
            try:
                await asyncio.wait_for(asyncio.shield(made[0].lost), 5)
            finally:
                made[0].transport.abort()
                server.close()
                await asyncio.sleep(0)

    uvloop.run(on_a_connection())
    asyncio.run(on_a_connection())


def test_with_tls_a_client_that_does_not_end_is_not_waited_for(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "QUIET_S", 0.05)

    def client(sock: ssl.SSLSocket) -> None:
        sock.sendall(b"x")
        while sock.recv(1 << 20):
            pass

    run_tls(certificate, client)


def test_with_tls_the_answer_is_whole_although_the_client_takes_its_time(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lingering, "QUIET_S", 0.05)

    def client(sock: ssl.SSLSocket) -> None:
        sock.sendall(b"x")
        time.sleep(0.3)
        found = 0
        while data := sock.recv(1 << 20):
            found += len(data)
        assert found == len(ANSWER)

    run_tls(certificate, client)
