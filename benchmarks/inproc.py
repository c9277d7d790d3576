"""The server without its sockets: the same requests decoded, batched, run and encoded in a loop, without a client.

    python -m benchmarks.inproc REPOSITORY MODEL KIND CONNECTIONS SECONDS

What despina serves over HTTP divided by what this prints is the share that sockets and HTTP leave over. As many
requests as there would be connections are under way at any time, each followed by the next when its reply is there.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.measurement import Kind
from benchmarks.processes import tree_cpu_s
from benchmarks.raw import make_workload
from benchmarks.requests import v2_answer, v2_body
from benchmarks.workload import Workload
from despina.http.infer_exchange import InferExchange, InferReply
from despina.models.model import Model
from despina.run import SWITCH_INTERVAL_S
from despina.scheduling.clock import LoopClock
from despina.server import Server
from despina.settings import Settings

WARM_UP_S = 0.3


class Slot:
    """What a connection would be: one request after another."""

    def __init__(self, traffic: "Traffic", row: int) -> None:
        self._traffic = traffic
        self._row = row
        head, _headers, tail = v2_body(traffic.workload, traffic.kind, row)
        self._body = head + tail
        self._header_length = str(len(head)) if tail else None

    def send(self) -> None:
        exchange = InferExchange(self._traffic.server, self._traffic.model, self._replied, client=self)
        exchange.start(memoryview(self._body), self._header_length)

    def _replied(self, reply: InferReply) -> None:
        self._traffic.answered += 1
        # As the lane does: one buffer that is ready to be written.
        data = b"".join(cast("list[bytes]", reply.buffers))
        if self._traffic.checking:
            self._check(reply, data)
        self._traffic.ended(self)

    def _check(self, reply: InferReply, data: bytes) -> None:
        headers = {"inference-header-content-length": str(reply.header_length)} if reply.header_length else {}
        assert reply.status == 200, data
        assert self._traffic.workload.is_answer(self._row, v2_answer(self._traffic.workload, headers, data))


class Traffic:
    """All slots, until the time is over."""

    def __init__(self, server: Server, model: Model, workload: Workload, kind: Kind, connections: int) -> None:
        self.server = server
        self.model = model
        self.workload = workload
        self.kind: Kind = kind
        self.checking = False
        self.answered = 0
        self._loop = asyncio.get_running_loop()
        self._slots = [Slot(self, number % workload.rows) for number in range(connections)]
        self._under_way = 0
        self._end = 0.0
        self._over = asyncio.Event()

    async def run(self, seconds: float) -> None:
        self.answered = 0
        self._under_way = len(self._slots)
        self._over.clear()
        self._end = time.perf_counter() + seconds
        for slot in self._slots:
            self._loop.call_soon(slot.send)
        await self._over.wait()

    def ended(self, slot: Slot) -> None:
        if time.perf_counter() < self._end:
            self._loop.call_soon(slot.send)
            return
        self._under_way -= 1
        if self._under_way == 0:
            self._over.set()


async def measure(repository: Path, name: str, kind: Kind, connections: int, seconds: float) -> dict[str, float]:
    """Rows answered, one per request, seconds of the clock and CPU seconds, those of the process that an instance may
    get included."""
    server = Server(Settings(model_repository=(repository,)), LoopClock(asyncio.get_running_loop()))
    await server.models.start()
    traffic = Traffic(server, server.models.get(name, None), make_workload(name), kind, connections)
    traffic.checking = True
    await traffic.run(WARM_UP_S)
    traffic.checking = False
    cpu, begin = tree_cpu_s(os.getpid()), time.perf_counter()
    await traffic.run(seconds)
    taken = {
        "rows": traffic.answered,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": tree_cpu_s(os.getpid()) - cpu,
    }
    await server.models.stop(5)
    return taken


def main(repository: str, name: str, kind: Kind, connections: str, seconds: str) -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(Path(repository), name, kind, int(connections), float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
