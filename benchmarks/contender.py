"""What is compared: something that can be started, checked and loaded, while others wait their turn."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks import grpc_calls, loadgen
from benchmarks.calibration import calibration_ms
from benchmarks.gpu import GpuWatch
from benchmarks.measurement import Kind, Load, Point, Round
from benchmarks.processes import machine_cpu, others, process_cpu_s, tree_cpu_s
from benchmarks.requests import v2_answer, v2_request, write_requests
from benchmarks.server_process import ServerProcess
from benchmarks.verify import ANSWER_S, Answer, exchange, verify
from benchmarks.workload import Workload


class Running(Protocol):
    """A started contender."""

    def verify(self, point: Point) -> None:
        """Raises WrongAnswer unless every row gets its own answer."""
        ...

    def measure(self, point: Point, seconds: float) -> Round: ...

    def stop(self) -> None: ...


class Contender(Protocol):
    """`name` heads its rows; `about` says version, flags and settings; `kinds` are the forms of request it speaks."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def kinds(self) -> Sequence[Kind]: ...

    def start(self) -> Running:
        """Raises NotStarted with the reason."""
        ...


Render = Callable[[Workload, Kind, int], bytes]
"""A workload's row as a complete request, for the load generator."""

Generate = Callable[[int, int, float, Sequence[Path], float, int], Load]
"""Port, connections, seconds, files with requests, rate, seed."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests are written and answers are read."""

    render: Render
    read: Callable[[Workload, Kind], Answer]


def _v2_request(workload: Workload, kind: Kind, row: int) -> bytes:
    if kind == "grpc":
        return grpc_calls.beginning(grpc_calls.infer_message(workload, row))
    return v2_request(workload, kind, row)


def _v2_reader(workload: Workload, kind: Kind) -> Answer:
    if kind == "grpc":
        return lambda headers, body: grpc_calls.infer_answer(workload, body)
    return lambda headers, body: v2_answer(workload, headers, body)


V2 = Dialect(_v2_request, _v2_reader)


@dataclass(slots=True)
class RunningServer:
    """A server process under load. One that `polls` uses the cores even when nobody asks anything of it, so it is
    suspended while others are measured."""

    server: ServerProcess
    workloads: Mapping[str, Workload]
    dialect: Dialect = V2
    counts_batches: bool = False
    generate: Generate = loadgen.generate
    polls: bool = False
    _files: dict[tuple[str, Kind], list[Path]] = field(default_factory=dict)
    _rounds: Counter[Point] = field(default_factory=Counter)
    """So far. They choose the arrivals of an open loop: the same for all contenders of a round, others in the next."""

    def __post_init__(self) -> None:
        if self.polls:
            self.server.suspend()

    def requests(self, point: Point) -> list[bytes]:
        workload = self.workloads[point.model]
        return [self.dialect.render(workload, point.kind, row) for row in range(workload.rows)]

    def verify(self, point: Point) -> None:
        workload = self.workloads[point.model]
        read = self.dialect.read(workload, point.kind)
        with self._awake():
            ask = grpc_calls.exchange if point.kind == "grpc" else exchange
            verify(self._port(point), workload, self.requests(point), read, point.connections, ask)

    def _port(self, point: Point) -> int:
        return self.server.grpc_port if point.kind == "grpc" else self.server.port

    def measure(self, point: Point, seconds: float) -> Round:
        with self._awake():
            return self._measure(point, seconds)

    @contextmanager
    def _awake(self) -> Iterator[None]:
        if not self.polls:
            yield
            return
        self.server.resume()
        try:
            yield
        finally:
            self.server.suspend()

    def _measure(self, point: Point, seconds: float) -> Round:
        files = self._files.get((point.model, point.kind))
        if files is None:
            self._files[point.model, point.kind] = files = write_requests(self.requests(point))
        calibration = calibration_ms()
        batches = self._batch_sizes(point.model)
        watch = Watch(self.server.pid)
        with GpuWatch() as gpu:
            load = self.generate(self._port(point), point.connections, seconds, files, point.rate, self._rounds[point])
        self._rounds[point] += 1
        used = watch.read(load.cpu_seconds)
        sizes = self._batch_sizes(point.model) - batches
        mean = sum(size * count for size, count in sizes.items()) / sum(sizes.values()) if sizes else None
        return Round(load, used.tree, used.other_cores, calibration, mean, dict(sizes) or None, gpu.use, used.first)

    def _batch_sizes(self, model: str) -> Counter[int]:
        """Executions so far by rows, from the model's statistics."""
        if not self.counts_batches:
            return Counter()
        url = f"http://127.0.0.1:{self.server.port}/v2/models/{model}/stats"
        with urllib.request.urlopen(url, timeout=ANSWER_S) as response:
            (statistics,) = json.load(response)["model_stats"]
        batches = statistics.get("batch_stats", [])
        return Counter({each["batch_size"]: each["compute_infer"]["count"] for each in batches})

    def stop(self) -> None:
        self.server.stop()


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds of a process tree and of its first process, and cores that anything but tree and generator kept busy
    or took away."""

    tree: float
    first: float
    other_cores: float


class Watch:
    """CPU time from its making on: of one process tree, and of everything else."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start = time.monotonic()
        self._machine = machine_cpu()
        self._own = time.process_time()
        self._tree = tree_cpu_s(pid)
        self._first = process_cpu_s(pid)

    def read(self, generator_cpu_s: float) -> Used:
        """What was used since."""
        tree = tree_cpu_s(self._pid) - self._tree
        first = process_cpu_s(self._pid) - self._first
        ours = tree + generator_cpu_s + time.process_time() - self._own
        return Used(tree, first, others(self._machine, machine_cpu(), ours, time.monotonic() - self._start))
