"""Replies of the lane that are compressed in a thread: what the client gets when something goes wrong with that."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from despina.http.answering_connection import Lane
from despina.http.infer_exchange import InferReply
from despina.http.lane import InferLane
from despina.http.request_head import LaneRules, RequestHeads

REQUEST = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
SMALL, LARGE = b"0123456789" * 10, b"0123456789" * 10_000


class Answering:
    """An exchange that is answered at once."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __call__(self, server: Any, model: Any, reply: Callable[[InferReply], None], client: object) -> "Answering":
        self._reply = reply
        return self

    def start(self, body: memoryview, header_length: str | None, received_ns: int = 0) -> None:
        self._reply(InferReply(200, [self._body], len(self._body)))

    def abandon(self) -> None:
        pass


async def application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("not needed here")


@asynccontextmanager
async def listening(state: ServerState) -> AsyncIterator[int]:
    """The port of a lane."""
    config = uvicorn.Config(application, lifespan="off", log_config=None, access_log=False)
    config.load()
    server: Any = SimpleNamespace(models=SimpleNamespace(get=lambda name, version: None))
    lane = Lane(server, RequestHeads(LaneRules()))
    listener = await asyncio.get_running_loop().create_server(
        lambda: InferLane(config, state, {}, lane=lane), "127.0.0.1", 0
    )
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for connection in list(state.connections):
            connection.transport.abort()  # one that is not read would not notice
        while state.connections:
            await asyncio.sleep(0)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client, which hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status, and the body as it was before it was compressed."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.split(": ") for line in lines)
    body = await reader.readexactly(int(headers["content-length"]))
    return int(status.split()[1]), gzip.decompress(body) if "content-encoding" in headers else body


def run(scenario: Callable[[int, ServerState], Awaitable[None]]) -> None:
    """Run `scenario` with the port of a lane and its connections; nothing may be left over that nobody looked at."""
    unseen: list[Any] = []

    async def in_time() -> None:
        state = ServerState()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        async with asyncio.timeout(5), listening(state) as port:
            await scenario(port, state)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(in_time())
    assert not unseen


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_a_reply_that_cannot_be_compressed_is_an_error_that_is_logged(
    body: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def compress(body: bytes, encoding: str) -> bytes:
        raise MemoryError("no memory for the compressor")

    async def scenario(port: int, state: ServerState) -> None:
        async with connected(port) as (reader, writer):
            writer.write(REQUEST * 2)
            for _ in range(2):
                status, text = await answer(reader)
                assert (status, json.loads(text)["error"]) == (500, "unexpected failure: no memory for the compressor")

    monkeypatch.setattr("despina.http.lane.InferExchange", Answering(body))
    monkeypatch.setattr("despina.http.infer_exchange.compress", compress)
    run(scenario)
    assert caplog.text.count("MemoryError: no memory for the compressor") == 2


def test_a_client_that_hangs_up_while_its_reply_is_compressed_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def compress(body: bytes, encoding: str) -> bytes:
        begun.set()
        go_on.wait(10)
        raise MemoryError

    async def scenario(port: int, state: ServerState) -> None:
        async with connected(port) as (_, writer):
            writer.write(REQUEST)
            await asyncio.to_thread(begun.wait, 10)
        while state.connections:
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        assert state.total_requests == 0

    monkeypatch.setattr("despina.http.lane.InferExchange", Answering(LARGE))
    monkeypatch.setattr("despina.http.infer_exchange.compress", compress)
    run(scenario)


def test_a_reply_is_sent_as_it_is_when_there_are_no_threads_any_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(port: int, state: ServerState) -> None:
        async with connected(port) as (reader, writer):
            writer.write(REQUEST)
            assert await answer(reader) == (200, LARGE)
            assert not caplog.records
            await asyncio.get_running_loop().shutdown_default_executor()
            writer.write(REQUEST * 2)
            for _ in range(2):
                assert await answer(reader) == (200, LARGE)
            assert "an answer of 100000 bytes is not compressed" in caplog.text

    monkeypatch.setattr("despina.http.lane.InferExchange", Answering(LARGE))
    run(scenario)
