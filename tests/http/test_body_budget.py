"""Room for arriving bodies: the rules on a hand-turned clock, then through a real port, where the same clock turns."""

import asyncio
import gzip
import json
import random
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from tests.support.serving import serving
from uvicorn.server import ServerState

from despina.errors import NotFound
from despina.http.app import make_app
from despina.http.body_budget import PATIENCE_NS, SMALLEST_CLAIM, TURNS, BodyBudget, Claim, body_budget
from despina.http.body_gate import BodyGate
from despina.http.endpoint import Endpoint
from despina.http.lane import InferLane, Lane
from despina.http.request_head import LaneRules, RequestHeads
from despina.settings import Settings

REPOSITORY = Path(__file__).parents[1] / "conformance" / "repo_main"
MB = 1_000_000


class Timer:
    def __init__(self, when_ns: int, callback: Callable[[], None]) -> None:
        self.when_ns = when_ns
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandClock:
    """Time passes only by `advance`."""

    def __init__(self) -> None:
        self._now_ns = 1_000_000_000_000
        self.timers: list[Timer] = []

    def now_ns(self) -> int:
        return self._now_ns

    def call_soon(self, callback: Callable[[], None]) -> None:
        raise AssertionError("not needed here")

    call_threadsafe = call_soon

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        assert when_ns > self._now_ns
        self.timers.append(timer := Timer(when_ns, callback))
        return timer

    def advance(self, patience: float) -> None:
        """Let so many times the patience of the budget pass."""
        end_ns = self._now_ns + round(patience * PATIENCE_NS)
        while due := [timer for timer in self.timers if timer.when_ns <= end_ns and not timer.cancelled]:
            first = min(due, key=lambda timer: timer.when_ns)
            self.timers.remove(first)
            self._now_ns = first.when_ns
            first.callback()
        self._now_ns = end_ns


class Client:
    """Claims room for one body, and gives it back when it is revoked."""

    def __init__(self, budget: BodyBudget, size: int) -> None:
        self.arrived = 0
        self.granted = 0
        self.revoked = 0
        self._budget = budget
        self.claim: Claim = budget.claim(self, size)

    def room_granted(self) -> None:
        self.granted += 1

    def room_revoked(self) -> None:
        self.revoked += 1
        self.done()

    def done(self) -> None:
        self._budget.give_back(self.claim)


def test_what_fits_does_not_wait() -> None:
    budget = BodyBudget(10, HandClock())
    first, second = Client(budget, 4), Client(budget, 6)
    assert not first.claim.waiting
    assert not second.claim.waiting
    assert budget.held == 10
    first.done()
    second.done()
    assert budget.held == 0


def test_turns_are_given_in_order_and_nobody_overtakes() -> None:
    budget = BodyBudget(10, HandClock())
    holder = Client(budget, 8)
    large, small, last = Client(budget, 9), Client(budget, 1), Client(budget, 1)
    assert [client.granted for client in (large, small, last)] == [0, 0, 0]
    holder.done()
    assert [client.granted for client in (large, small, last)] == [1, 1, 0]
    large.done()
    assert last.granted == 1


def test_who_leaves_the_line_holds_up_nobody() -> None:
    budget = BodyBudget(10, HandClock())
    holder = Client(budget, 8)
    large, small = Client(budget, 9), Client(budget, 2)
    large.done()
    assert small.granted == 1
    assert budget.held == 10
    holder.done()
    small.done()
    assert (budget.held, budget.waiting, large.granted) == (0, 0, 0)


def test_a_body_larger_than_the_budget_goes_alone() -> None:
    budget = BodyBudget(10, HandClock())
    holder = Client(budget, 1)
    huge, small = Client(budget, 100), Client(budget, 1)
    assert (huge.granted, small.granted) == (0, 0)
    holder.done()
    assert (huge.granted, small.granted) == (1, 0)
    huge.done()
    assert small.granted == 1


def test_of_two_bodies_that_wait_for_each_other_the_older_one_goes_beyond_the_limit() -> None:
    budget = BodyBudget(10, HandClock())
    older, younger = Client(budget, 5), Client(budget, 5)
    budget.grow(younger.claim, 6)
    assert younger.claim.waiting
    for size in range(6, 20):
        budget.grow(older.claim, size)
        assert not older.claim.waiting
    assert (younger.granted, budget.held) == (0, 24)
    older.done()
    assert (younger.granted, budget.held) == (1, 6)


def test_a_body_that_grows_is_served_before_those_that_hold_nothing() -> None:
    budget = BodyBudget(10, HandClock())
    growing, other = Client(budget, 4), Client(budget, 6)
    newcomer = Client(budget, 4)
    budget.grow(growing.claim, 8)
    assert growing.claim.waiting
    other.done()
    assert (growing.granted, newcomer.granted) == (1, 0)
    growing.done()
    assert newcomer.granted == 1


@pytest.mark.parametrize(
    ("arrives", "somebody_waits", "revoked"),
    [(0, True, 1), (1000 // TURNS - 1, True, 1), (1000 // TURNS, True, 0), (0, False, 0)],
)
def test_a_sender_without_pace_loses_its_room_when_somebody_waits(
    arrives: int, somebody_waits: bool, revoked: int
) -> None:
    clock = HandClock()
    budget = BodyBudget(1000, clock)
    slow = Client(budget, 1000)
    clock.advance(100)
    waiting = Client(budget, 1000) if somebody_waits else None
    clock.advance(0.9)
    slow.arrived += arrives
    assert slow.revoked == 0
    clock.advance(0.2)
    assert slow.revoked == revoked
    assert waiting is None or waiting.granted == revoked
    clock.advance(0 if revoked or waiting is None else 1)
    assert slow.revoked == int(somebody_waits)


def test_no_more_rooms_are_revoked_than_those_who_wait_need() -> None:
    clock = HandClock()
    budget = BodyBudget(10, clock)
    first, second = Client(budget, 5), Client(budget, 5)
    waiting = Client(budget, 5)
    clock.advance(3)
    assert (first.revoked, second.revoked, waiting.granted) == (1, 0, 1)


def test_whoever_got_room_late_has_the_full_time() -> None:
    clock = HandClock()
    budget = BodyBudget(10, clock)
    first = Client(budget, 10)
    second, third = Client(budget, 10), Client(budget, 10)
    clock.advance(0.9)
    first.done()
    clock.advance(0.9)
    assert second.revoked == 0
    clock.advance(0.2)
    assert (second.revoked, third.granted) == (1, 1)


def test_a_watch_that_nobody_needs_ends() -> None:
    clock = HandClock()
    budget = BodyBudget(10, clock)
    holder, waiting = Client(budget, 10), Client(budget, 10)
    waiting.done()
    clock.advance(2)
    assert clock.timers == []
    late = Client(budget, 1)
    clock.advance(0.5)
    holder.done()
    assert late.granted == 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_budget_holds_and_everybody_gets_a_turn(seed: int) -> None:
    dice = random.Random(seed)
    budget = BodyBudget(100, HandClock())
    clients: list[Client] = []
    for _ in range(2000):
        moving = [client for client in clients if not client.claim.waiting]
        chance = dice.random()
        if chance < 0.5:
            clients.append(Client(budget, dice.randint(1, 130)))
        elif chance < 0.6 and moving:
            client = dice.choice(moving)
            budget.grow(client.claim, client.claim.held + dice.randint(1, 30))
        elif clients:
            # Mostly bodies become whole; now and then somebody hangs up.
            client = dice.choice(moving if dice.random() < 0.8 else clients)
            clients.remove(client)
            client.done()
        held = sorted(client.claim.held for client in clients)
        assert budget.held == sum(held)
        assert not held or sum(held) - held[-1] <= 100 or sum(held) <= 100
        assert not clients or any(not client.claim.waiting for client in clients)
    while clients:
        clients.remove(client := next(client for client in clients if not client.claim.waiting))
        client.done()
    assert (budget.held, budget.waiting) == (0, 0)


@pytest.mark.parametrize(("workers", "limit"), [(1, 900), (2, 300), (8, 100)])
def test_processes_share_the_budget(workers: int, limit: int) -> None:
    async def made() -> BodyBudget | None:
        return body_budget(Settings(http_workers=workers, http_max_arriving_bytes=900))

    budget = asyncio.run(made())
    assert budget is not None
    assert budget.limit == limit


@pytest.mark.parametrize(("setting", "limited"), [(0, False), (None, True)])
def test_there_is_a_budget_unless_it_is_switched_off(setting: int | None, limited: bool) -> None:
    async def made() -> BodyBudget | None:
        return body_budget(Settings(http_max_arriving_bytes=setting))

    assert (asyncio.run(made()) is not None) == limited


# ----------------------------------------------------------------------------------------------- through a real port


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
    app: ASGIApp = BodyGate(make_app(server, [Endpoint(("POST",), "/length", None, length)]), budget)
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


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(15):
            await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(in_time())


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
def test_a_body_without_room_is_read_when_there_is_some(path: str) -> None:
    budget = BodyBudget(3 * MB, HandClock())

    async def scenario() -> None:
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

    run(scenario)
    assert (budget.held, budget.waiting) == (0, 0)


def test_a_body_that_there_is_no_memory_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = BodyBudget(MB, HandClock())

    def no_memory(connection: InferLane, size: int) -> memoryview:
        raise MemoryError

    async def scenario() -> None:
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

    run(scenario)
    assert (budget.held, budget.waiting) == (0, 0)


@pytest.mark.parametrize("size", [1, 1000, SMALLEST_CLAIM - 1])
def test_small_bodies_claim_nothing(size: int) -> None:
    budget = BodyBudget(1, HandClock())

    async def scenario() -> None:
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

    run(scenario)


@pytest.mark.parametrize("path", [INFER, "/length"])
def test_a_sender_that_stalls_gets_408_when_somebody_waits(path: str) -> None:
    clock = HandClock()
    budget = BodyBudget(MB, clock)

    async def scenario() -> None:
        async with listening(budget) as port:
            stalled, patient = [await Connection.open(port) for _ in range(2)]
            stalled.announce(MB, path)
            stalled.send(300_000)
            await until(lambda: budget.held == MB)
            clock.advance(10)  # nobody waits
            patient.announce(MB, path)
            patient.send(MB)
            await until(lambda: budget.waiting == 1)
            answer = asyncio.ensure_future(stalled.answer())
            while not answer.done():
                # More than once, because what was sent may still be arriving.
                clock.advance(1.01)
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

    run(scenario)
    assert budget.held == 0


@pytest.mark.parametrize("path", [INFER, "/length"])
def test_connections_that_are_lost_give_their_room_back(path: str) -> None:
    budget = BodyBudget(MB, HandClock())

    async def scenario() -> None:
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

    run(scenario)
    assert (budget.held, budget.waiting) == (0, 0)


def test_a_chunked_body_claims_what_comes() -> None:
    budget = BodyBudget(MB, HandClock())

    async def scenario() -> None:
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

    run(scenario)
    assert budget.held == 0


def test_a_body_that_announces_more_than_the_protocol_allows_is_refused_before_it_is_read() -> None:
    budget = BodyBudget(MB, HandClock())

    async def scenario() -> None:
        async with listening(budget) as port:
            connection = await Connection.open(port)
            connection.announce(1 << 31, "/length")
            connection.send(MB)
            status, body = await connection.answer()
            assert status == 400
            assert b"Content-Length, value is out of range" in body
            await connection.close()

    run(scenario)
    assert budget.held == 0


def test_memory_of_many_large_bodies_is_bounded() -> None:
    connections, size = 60, 8 * MB
    budget = BodyBudget(2 * size, HandClock())
    body = bytes(size - 1)  # so nobody is ever done

    async def scenario() -> None:
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

    run(scenario)
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
