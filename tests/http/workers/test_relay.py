"""Requests that a front end passes on to the owner whole, over a connection of their own."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from despina.http.workers.relay import Door, Relay, request_head


def test_a_request_is_relayed_without_what_belongs_to_its_connection() -> None:
    headers = [(b"host", b"x"), (b"connection", b"close"), (b"expect", b"100-continue"), (b"transfer-encoding", b"x")]
    scope = {"method": "POST", "raw_path": b"/a%20b", "query_string": b"q=1", "headers": headers}
    assert request_head(scope, True) == b"POST /a%20b?q=1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    scope = {"method": "GET", "raw_path": b"/", "query_string": b"", "headers": headers[:1]}
    assert request_head(scope, False) == b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@asynccontextmanager
async def relaying(
    client: Iterator[dict[str, Any]], method: str = "POST"
) -> AsyncIterator[tuple[socket.socket, asyncio.Task[None], list[Any]]]:
    """The owner's end of the connection on which the request of these ASGI messages is relayed."""
    near, far = socket.socketpair(type=socket.SOCK_SEQPACKET)
    got: list[Any] = []

    async def receive() -> dict[str, Any]:
        for event in client:
            return event
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        got.append(message)

    with near, far:
        door = Door(near)
        scope = {"method": method, "raw_path": b"/", "query_string": b"", "headers": [(b"content-length", b"4")]}
        task = asyncio.ensure_future(Relay(door)(scope, receive, send))
        await asyncio.sleep(0)
        _, (descriptor,), _, _ = socket.recv_fds(far, 1, 1)
        with socket.socket(fileno=descriptor) as owner:
            yield owner, task, got
        door.close()
        await asyncio.sleep(0)


async def relayed(
    client: list[dict[str, Any]], answers: Sequence[bytes], method: str = "POST"
) -> tuple[list[Any], bytes, bool]:
    """What a client gets who sends these ASGI messages and then waits, when the owner sends `answers`; what the owner
    gets; and whether it was hung up on."""
    async with relaying(iter(client), method) as (owner, task, got):
        reader, writer = await asyncio.open_unix_connection(sock=owner.dup())
        arrived = await reader.readuntil(b"body")
        for answer in answers:
            writer.write(answer)
            await writer.drain()
        await asyncio.wait_for(task, 10)
        try:
            rest = await asyncio.wait_for(reader.read(1), 0.05)
        except TimeoutError:
            rest = None
        writer.close()
        await asyncio.sleep(0)
    return got, arrived, rest == b""


BODY = {"type": "http.request", "body": b"body", "more_body": False}


def test_a_chunked_request_is_relayed_without_a_length() -> None:
    headers = [(b"host", b"x"), (b"content-length", b"5"), (b"transfer-encoding", b"chunked")]
    scope = {"method": "POST", "raw_path": b"/", "query_string": b"", "headers": headers}
    assert request_head(scope, True) == b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_request_and_its_response_are_passed_on() -> None:
    answers = [b"HTTP/1.1 201 Created\r\nx-a: b\r\ncontent-length: 6\r\n\r\nfir", b"st!"]
    got, arrived, hung_up = await relayed([BODY], answers)
    assert arrived == b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody"
    assert got[0]["status"] == 201
    assert got[0]["headers"] == [(b"x-a", b"b"), (b"content-length", b"6")]
    assert b"".join(message["body"] for message in got[1:]) == b"first!"
    assert [message["more_body"] for message in got[1:]][-1] is False
    assert not hung_up


async def test_a_request_that_the_owner_cannot_take_is_refused() -> None:
    near, far = socket.socketpair(type=socket.SOCK_SEQPACKET)
    got: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        got.append(message)

    scope = {"type": "http", "method": "GET", "raw_path": b"/", "query_string": b"", "headers": []}
    with near, far:
        asked = asyncio.ensure_future(Relay(Door(near))(scope, receive, send))
        await asyncio.sleep(0)
        far.recv(1)  # as when there is no descriptor left for what comes with it
        await asked
        await asyncio.sleep(0)
    await Relay(Door(near))(scope, receive, send)
    started, body, started_next, body_next = got
    assert (started["status"], started_next["status"]) == (503, 503)
    assert b"the server cannot take the request now: the owner hung up. Try again later." in body["body"]
    assert b"the server cannot take the request now: Bad file descriptor." in body_next["body"]


async def test_a_response_to_head_has_a_length_and_no_body() -> None:
    answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n"]
    got, _, hung_up = await relayed([BODY], answers, "HEAD")
    assert got[0]["headers"] == [(b"content-length", b"6")]
    assert [message["body"] for message in got[1:]] == [b""]
    assert hung_up  # the parser of its next response would begin with this one's body


async def test_a_connection_that_did_not_take_all_of_a_request_is_not_used_again() -> None:
    answers = [b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"]
    got, _, hung_up = await relayed([{**BODY, "more_body": True}], answers)
    assert got[0]["status"] == 400
    assert hung_up


async def test_a_response_that_is_cut_short_is_not_followed_by_another() -> None:
    async with relaying(iter([BODY])) as (owner, task, got):
        owner.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
        while len(got) < 2:
            await asyncio.sleep(0)
        owner.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ConnectionError):
            await task
        assert [message["type"] for message in got] == ["http.response.start", "http.response.body"]
        await asyncio.sleep(0)


async def test_no_more_of_a_body_is_taken_than_the_owner_takes() -> None:
    taken = 0

    def pieces() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for number in range(100):
            taken = number
            yield {"type": "http.request", "body": bytes(1 << 20), "more_body": True}

    async with relaying(pieces()) as (_, task, _):
        await asyncio.sleep(0.1)
        assert taken < 10
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)


async def test_only_so_many_idle_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.http.workers.relay.MAX_IDLE", 1)
    near, far = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with near, far:
        door = Door(near)
        first, second = await door.take(), await door.take()
        door.give(first, True)
        door.give(second, True)
        assert second.writer.is_closing()
        assert not first.writer.is_closing()
        door.close()
        await asyncio.sleep(0)


async def test_the_owner_is_hung_up_on_when_the_client_hangs_up() -> None:
    got, _, hung_up = await relayed([BODY, {"type": "http.disconnect"}], [])
    assert not got
    assert hung_up


async def test_a_connection_that_the_owner_closes_is_not_used_again() -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    got, _, hung_up = await relayed([BODY], [answer])
    assert got[0]["status"] == 400
    assert hung_up


async def test_a_connection_that_the_owner_closed_while_idle_is_not_used_again() -> None:
    near, far = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with near, far:
        door = Door(near)
        idle = await door.take()
        door.give(idle, True)
        assert await door.take() is idle
        door.give(idle, True)
        _, (descriptor,), _, _ = socket.recv_fds(far, 1, 1)
        os.close(descriptor)
        while not idle.reader.at_eof():
            await asyncio.sleep(0)
        other = await door.take()
        assert other is not idle
        door.give(other, False)
        await asyncio.sleep(0)
