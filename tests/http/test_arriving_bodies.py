"""Room for arriving bodies, as clients of a port see it; the clock of the budget is turned by hand."""

import asyncio
import gzip
import json
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from tests.support.clocks import MS, VirtualClock
from tests.support.loops import UVLOOP
from tests.support.serving import REPOSITORY, serving
from uvicorn.server import ServerState

from despina.errors import NotFound
from despina.http.answering_connection import Lane
from despina.http.app import Application
from despina.http.body_budget import PATIENCE_NS, SMALLEST_CLAIM, BodyBudget
from despina.http.body_gate import BodyGate
from despina.http.endpoint import Endpoint
from despina.http.lane import InferLane
from despina.http.request_head import LaneRules, RequestHeads
from despina.http.routes import Routes
from despina.settings import Settings

PATIENCE_MS = PATIENCE_NS / MS
MB = 1_000_000


async def length(request: Request, server: Any) -> Response:
    return Response(str(len(await request.body())))


class NoModels:
    """Every body is collected before this is asked."""

    def get(self, name: str, version: int | None) -> None:
        raise NotFound(f"'{name}' not found")


@asynccontextmanager
async def listening(budget: BodyBudget) -> AsyncIterator[int]:
    """The port of a lane without models, which answers 404, with an application that knows how long a body is."""
    server: Any = SimpleNamespace(settings=Settings(), models=NoModels())
    app: ASGIApp = BodyGate(Application(server, Routes([Endpoint(("POST",), "/length", None, length)])), budget)
    config = uvicorn.Config(cast("Any", app), lifespan="off", log_config=None, access_log=False)
    config.load()
    lane = Lane(server, RequestHeads(LaneRules()), budget)
    state = ServerState()
    listener = await asyncio.get_running_loop().create_server(
        lambda: InferLane(config, state, {}, lane=lane), "127.0.0.1", 0
    )
    try:
        yield listener.sockets[0].getsockname()[1]
        await until(lambda: not state.connections)
    finally:
        listener.close()
        for connection in list(state.connections):
            connection.transport.abort()


@pytest.fixture
def anyio_backend() -> Any:
    return UVLOOP


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


INFER = "/v2/models/m/infer"


class Connection:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def announce(self, size: int, path: str = INFER) -> None:
        self._writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), size))

    def send(self, size: int) -> None:
        self._writer.write(bytes(size))

    def chunk(self, size: int) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (size, bytes(size)))

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> tuple[int, bytes]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        announced = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        return int(head.split()[1]), await self._reader.readexactly(int(announced.partition(b":")[2]))

    async def is_hung_up(self) -> bool:
        try:
            return await self._reader.read(1) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@pytest.mark.parametrize("path", [INFER, "/length"])
async def test_a_body_without_room_is_read_when_there_is_some(path: str) -> None:
    budget = BodyBudget(3 * MB, VirtualClock())
    async with listening(budget) as port:
        first, second = [await Connection.open(port) for _ in range(2)]
        first.announce(2 * MB, path)
        first.send(MB)
        await until(lambda: budget.held == 2 * MB)
        second.announce(2 * MB, path)
        second.send(2 * MB)
        await until(lambda: budget.waiting == 1)
        # Time enough to read it all, if somebody did.
        await asyncio.sleep(0.05)
        assert (budget.waiting, budget.held) == (1, 2 * MB)
        first.send(MB)
        status = 404 if path == INFER else 200
        assert (await first.answer())[0] == status
        assert (await second.answer())[0] == status
        await until(lambda: budget.held == 0)
        # And once more on the same connections.
        for connection in (first, second):
            connection.announce(MB, path)
            connection.send(MB)
            assert (await connection.answer())[0] == status
            await connection.close()
    assert (budget.held, budget.waiting) == (0, 0)


async def test_a_body_that_there_is_no_memory_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = BodyBudget(MB, VirtualClock())

    def no_memory(connection: InferLane, size: int) -> memoryview:
        raise MemoryError

    async with listening(budget) as port:
        first, waiting, last = [await Connection.open(port) for _ in range(3)]
        first.announce(MB)
        await until(lambda: budget.held == MB)
        for connection in (waiting, last):
            connection.announce(2 * MB)
        await until(lambda: budget.waiting == 2)
        monkeypatch.setattr(InferLane, "_room", no_memory)
        first.send(MB)
        assert (await first.answer())[0] == 404
        for connection in (waiting, last):
            text = b'{"error":"no memory for a request body of 2000000 bytes. Send less, or try again later."}'
            assert await connection.answer() == (503, text)
            assert await connection.is_hung_up()
            await connection.close()
        await first.close()
    assert (budget.held, budget.waiting) == (0, 0)


@pytest.mark.parametrize("size", [1, 1000, SMALLEST_CLAIM - 1])
async def test_small_bodies_claim_nothing(size: int) -> None:
    budget = BodyBudget(1, VirtualClock())
    async with listening(budget) as port:
        holder, connection = [await Connection.open(port) for _ in range(2)]
        holder.announce(MB)
        holder.send(1)
        await until(lambda: budget.held == MB)
        for path in (INFER, "/length"):
            connection.announce(size, path)
            await asyncio.sleep(0.01)
            connection.send(size)
            await connection.answer()
        assert budget.waiting == 0
        await holder.close()
        await connection.close()


@pytest.mark.parametrize("path", [INFER, "/length"])
async def test_a_sender_that_stalls_gets_408_when_somebody_waits(path: str) -> None:
    clock = VirtualClock()
    budget = BodyBudget(MB, clock)
    async with listening(budget) as port:
        stalled, patient = [await Connection.open(port) for _ in range(2)]
        stalled.announce(MB, path)
        stalled.send(300_000)
        await until(lambda: budget.held == MB)
        clock.advance(10 * PATIENCE_MS)  # nobody waits
        patient.announce(MB, path)
        patient.send(MB)
        await until(lambda: budget.waiting == 1)
        answer = asyncio.ensure_future(stalled.answer())
        while not answer.done():
            # More than once, because what was sent may still be arriving.
            clock.advance(1.01 * PATIENCE_MS)
            await asyncio.sleep(0)
        status, body = answer.result()
        assert status == 408
        text = json.loads(body)["error"]
        assert "expected a body of 1000000 bytes" in text
        assert re.search(r"got [1-9][0-9]* bytes", text)
        assert "--http-max-arriving-bytes" in text
        assert await stalled.is_hung_up()
        assert (await patient.answer())[0] == (404 if path == INFER else 200)
        await stalled.close()
        await patient.close()
    assert budget.held == 0


@pytest.mark.parametrize("path", [INFER, "/length"])
async def test_connections_that_are_lost_give_their_room_back(path: str) -> None:
    budget = BodyBudget(MB, VirtualClock())
    async with listening(budget) as port:
        holder, waiting, last = [await Connection.open(port) for _ in range(3)]
        for number, connection in enumerate((holder, waiting, last)):
            connection.announce(MB, path)
            connection.send(100_000)
            await until(lambda number=number: budget.held == MB and budget.waiting == number)  # type: ignore[misc]  # the default binds it
        await waiting.close()
        await holder.close()
        last.send(MB - 100_000)
        assert (await last.answer())[0] == (404 if path == INFER else 200)
        await last.close()
    assert (budget.held, budget.waiting) == (0, 0)


async def test_a_chunked_body_claims_what_comes() -> None:
    budget = BodyBudget(MB, VirtualClock())
    async with listening(budget) as port:
        chunked, announced = [await Connection.open(port) for _ in range(2)]
        chunked.write(b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunked.chunk(500_000)
        await until(lambda: budget.held >= 500_000)
        announced.announce(MB)
        announced.send(MB)
        await until(lambda: budget.waiting == 1)
        for _ in range(3):
            chunked.chunk(500_000)
        await until(lambda: budget.held >= 2 * MB)
        chunked.write(b"0\r\n\r\n")
        assert await chunked.answer() == (200, b"2000000")
        assert (await announced.answer())[0] == 404
        await chunked.close()
        await announced.close()
    assert budget.held == 0


async def test_a_body_that_announces_more_than_the_protocol_allows_is_refused_before_it_is_read() -> None:
    budget = BodyBudget(MB, VirtualClock())
    async with listening(budget) as port:
        connection = await Connection.open(port)
        connection.announce(1 << 31, "/length")
        connection.send(MB)
        status, body = await connection.answer()
        assert status == 400
        assert b"Content-Length, value is out of range" in body
        await connection.close()
    assert budget.held == 0


async def test_memory_of_many_large_bodies_is_bounded() -> None:
    connections, size = 60, 8 * MB
    budget = BodyBudget(2 * size, VirtualClock())
    body = bytes(size - 1)  # so nobody is ever done
    async with listening(budget) as port:
        tracemalloc.start()
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        for client in clients:
            client.sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (INFER.encode(), size))
            client.setblocking(False)
        rest = {client: memoryview(body) for client in clients}
        while budget.waiting < connections - 2 or any(len(rest[client]) for client in clients[:2]):
            for client, view in rest.items():
                with suppress(BlockingIOError):
                    rest[client] = view[client.send(view[: 1 << 16]) :] if view else view
            await asyncio.sleep(0)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert used < 2 * size + connections * (512 << 10)
        for client in clients:
            client.close()
    assert (budget.held, budget.waiting) == (0, 0)


def test_many_clients_at_once_get_their_own_answers_from_a_small_budget() -> None:
    flags = ["--model-control-mode=explicit", "--load-model=identity_fp32", f"--http-max-arriving-bytes={2 * MB}"]

    def ask(number: int) -> None:
        row = np.full(250_000, number, "<f4")
        tensor = {"name": "INPUT0", "shape": [1, row.size], "datatype": "FP32"}
        inputs = [{**tensor, "parameters": {"binary_data_size": row.nbytes}}]
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        # Every third goes through the application.
        accept = "Accept-Encoding: gzip\r\n" if number % 3 == 0 else ""
        lines = (
            f"POST /v2/models/identity_fp32/infer HTTP/1.1\r\nHost: x\r\n{accept}Connection: keep-alive\r\n"
            f"Inference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(head) + row.nbytes}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            file = sock.makefile("rb")
            for _ in range(3):
                sock.sendall(lines.encode() + head + row.tobytes())
                assert file.readline().split()[1] == b"200"
                headers = dict(line.lower().strip().split(b": ") for line in iter(file.readline, b"\r\n"))
                answer = file.read(int(headers[b"content-length"]))
                if accept:
                    answer = gzip.decompress(answer)
                values = np.frombuffer(answer[int(headers[b"inference-header-content-length"]) :], "<f4")
                assert np.array_equal(values, row)

    with serving(REPOSITORY, flags) as port, ThreadPoolExecutor(40) as pool:
        for asked in [pool.submit(ask, number) for number in range(40)]:
            asked.result(60)
