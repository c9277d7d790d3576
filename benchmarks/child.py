"""Contenders without a server: a process per round that measures itself and prints what it found."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.calibration import calibration_ms
from benchmarks.gpu import GpuWatch
from benchmarks.latencies import Latencies
from benchmarks.measurement import Kind, Load, Point, Round
from benchmarks.places import HERE
from benchmarks.processes import children_cpu_s, machine_cpu, others
from benchmarks.session import Device


@dataclass(frozen=True, slots=True)
class InProcess:
    """Despina without sockets (`benchmarks.inproc`). Every process checks the answers while it warms up."""

    repository: Path
    name: str = "in process"
    about: str = "despina's own decoding, batching, running and encoding in a loop, no sockets, no client"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> "InProcess":
        return self

    def verify(self, point: Point) -> None:
        """See above."""

    def measure(self, point: Point, seconds: float) -> Round:
        arguments = [str(self.repository), point.model, point.kind, str(point.connections), str(seconds)]
        return measure_child("benchmarks.inproc", arguments)

    def stop(self) -> None:
        """Nothing is left running."""


@dataclass(frozen=True, slots=True)
class RuntimeAlone:
    """An ONNX Runtime session at one batch size (`benchmarks.raw`); its requests are rows."""

    batch: int
    threads: int
    device: Device = "cpu"
    kinds: Sequence[Kind] = ("binary", "json")

    @property
    def name(self) -> str:
        return f"session, batch {self.batch}"

    @property
    def about(self) -> str:
        threads = self.threads or "default"
        where = "the GPU, tensors already there" if self.device == "gpu" else f"the CPU, intra-op threads {threads}"
        return f"ONNX Runtime alone on {where}, IO binding; rows/s"

    def start(self) -> "RuntimeAlone":
        return self

    def verify(self, point: Point) -> None:
        """It is what the others are verified against."""

    def measure(self, point: Point, seconds: float) -> Round:
        arguments = [point.model, self.device, str(self.threads), str(self.batch), str(seconds)]
        return measure_child("benchmarks.raw", arguments)

    def stop(self) -> None:
        """Nothing is left running."""


def measure_child(module: str, arguments: Sequence[str]) -> Round:
    """Run a module that prints `rows`, `seconds` and `cpu_seconds` as JSON."""
    calibration = calibration_ms()
    machine, begin, children = machine_cpu(), time.monotonic(), children_cpu_s()
    with GpuWatch() as gpu:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.PIPE, cwd=HERE.parent
        )
    other = others(machine, machine_cpu(), children_cpu_s() - children, time.monotonic() - begin)
    told = json.loads(done.stdout)
    load = Load(told["rows"], told["rows"], told["seconds"], 0, 0.0, Latencies())
    return Round(load, told["cpu_seconds"], other, calibration, gpu=gpu.use)
