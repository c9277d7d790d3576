"""What is compared: something that can be started, checked and loaded, while others wait their turn."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks import loadgen
from benchmarks.calibration import calibration_ms
from benchmarks.latencies import Latencies
from benchmarks.measurement import Kind, Load, Point, Round
from benchmarks.processes import MachineCpu, machine_cpu, tree_cpu_s
from benchmarks.requests import v2_answer, v2_request
from benchmarks.server_process import ServerProcess
from benchmarks.verify import Answer, verify
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
ReadAnswer = Callable[[Workload, dict[str, str], bytes], object]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests are written and answers are read."""

    render: Render
    read: Callable[[Workload, Kind], Answer]


def _v2_reader(workload: Workload, kind: Kind) -> Answer:
    return lambda headers, body: v2_answer(workload, headers, body)


V2 = Dialect(v2_request, _v2_reader)


@dataclass(slots=True)
class RunningServer:
    """A server process under HTTP load."""

    server: ServerProcess
    workloads: Mapping[str, Workload]
    dialect: Dialect = V2
    counts_batches: bool = False

    def requests(self, point: Point) -> list[bytes]:
        workload = self.workloads[point.model]
        return [self.dialect.render(workload, point.kind, row) for row in range(workload.rows)]

    def verify(self, point: Point) -> None:
        workload = self.workloads[point.model]
        read = self.dialect.read(workload, point.kind)
        verify(self.server.port, workload, self.requests(point), read, point.connections)

    def measure(self, point: Point, seconds: float) -> Round:
        calibration = calibration_ms()
        batches = self._batch_sizes(point.model)
        watch = Watch(self.server.pid)
        load = loadgen.generate(self.server.port, point.connections, seconds, self.requests(point), point.rate)
        server_cpu_s, other_cores = watch.read(load.cpu_seconds)
        sizes = {
            size: count - batches.get(size, 0)
            for size, count in self._batch_sizes(point.model).items()
            if count > batches.get(size, 0)
        }
        mean = sum(size * count for size, count in sizes.items()) / sum(sizes.values()) if sizes else None
        return Round(load, server_cpu_s, other_cores, calibration, mean, sizes or None)

    def _batch_sizes(self, model: str) -> dict[int, int]:
        """Executions so far by rows, from the model's statistics."""
        if not self.counts_batches:
            return {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}/v2/models/{model}/stats") as response:
            (statistics,) = json.load(response)["model_stats"]
        return {each["batch_size"]: each["compute_infer"]["count"] for each in statistics.get("batch_stats", [])}

    def stop(self) -> None:
        self.server.stop()


class Watch:
    """CPU time from its making on: of one process tree, and of everything else."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start = time.monotonic()
        self._machine = machine_cpu()
        self._own = time.process_time()
        self._tree = tree_cpu_s(pid)

    def read(self, generator_cpu_s: float) -> tuple[float, float]:
        """CPU seconds of the tree; cores that anything but tree and generator kept busy or took away."""
        tree = tree_cpu_s(self._pid) - self._tree
        ours = tree + generator_cpu_s + time.process_time() - self._own
        return tree, others(self._machine, machine_cpu(), ours, time.monotonic() - self._start)


def others(before: MachineCpu, after: MachineCpu, ours_s: float, seconds: float) -> float:
    """Cores kept busy by others, on average; ticks are coarse, so never below 0."""
    return max(0.0, (after.busy - before.busy + after.stolen - before.stolen - ours_s) / seconds)


@dataclass(frozen=True, slots=True)
class InProcess:
    """Despina without sockets (`benchmarks.inproc`), a process of its own per round."""

    repository: Path
    name: str = "in process"
    about: str = "despina's own decoding, batching, running and encoding in a loop, no sockets, no client"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> "InProcess":
        return self

    def verify(self, point: Point) -> None:
        """Every process checks the answers while it warms up."""

    def measure(self, point: Point, seconds: float) -> Round:
        calibration = calibration_ms()
        command = [sys.executable, "-m", "benchmarks.inproc", str(self.repository), point.model, point.kind]
        command += [str(point.connections), str(seconds)]
        machine, begin = machine_cpu(), time.monotonic()
        children = _children_cpu_s()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        other = others(machine, machine_cpu(), _children_cpu_s() - children, time.monotonic() - begin)
        told = json.loads(done.stdout)
        load = Load(told["answered"], told["answered"], told["seconds"], 0, 0.0, Latencies())
        return Round(load, told["cpu_seconds"], other, calibration)

    def stop(self) -> None:
        """Nothing is left running."""


def _children_cpu_s() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
