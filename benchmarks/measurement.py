"""What is measured: a point, the load put on it, and what that cost on both sides."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.gpu import GpuUse
from benchmarks.latencies import Latencies

Kind = Literal["binary", "json", "grpc"]
KINDS: tuple[Kind, ...] = ("binary", "json")
"""Those over HTTP, which all tables have; "grpc" is asked for by name."""


@dataclass(frozen=True, slots=True)
class Point:
    """One cell of a table. `rate` 0 is a closed loop, above it requests per second of an open loop."""

    model: str
    kind: Kind
    connections: int
    rate: float = 0.0

    def __str__(self) -> str:
        rate = f" at {self.rate:.0f}/s" if self.rate else ""
        return f"{self.model} {self.kind} x{self.connections}{rate}"


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator saw. `completed` requests were answered with 200, or 0 in gRPC, within `seconds`, `answered`
    counts those too that were waited for afterwards or got another status. `cpu_seconds` is the generator's own cost.
    `reconnects`: connections closed by the server; with `resent` of them a request had been sent that it did not
    answer."""

    completed: int
    answered: int
    seconds: float
    errors: int
    cpu_seconds: float
    latencies: Latencies
    reconnects: int = 0
    resent: int = 0

    @property
    def per_second(self) -> float:
        return self.completed / self.seconds


@dataclass(frozen=True, slots=True)
class Round:
    """One load on one point, with what happened on the machine meanwhile.

    `server_cpu_s`: CPU seconds of the server and its children. `other_cores`: cores that anything but server and
    generator kept busy. `calibration_ms`: CPU milliseconds of a fixed piece of work right before. `mean_batch`: rows
    per execution, `batch_sizes`: executions by rows, as the server counts them, where it does. `first_cpu_s`: CPU
    seconds of the server's first process alone, where it was watched."""

    load: Load
    server_cpu_s: float
    other_cores: float
    calibration_ms: float
    mean_batch: float | None = None
    batch_sizes: dict[int, int] | None = None
    gpu: GpuUse | None = None
    first_cpu_s: float | None = None

    @property
    def first_cpu_per_1000(self) -> float | None:
        return None if self.first_cpu_s is None else 1000 * self.first_cpu_s / max(1, self.load.answered)

    @property
    def server_cpu_per_1000(self) -> float:
        return 1000 * self.server_cpu_s / max(1, self.load.answered)

    @property
    def client_cpu_per_1000(self) -> float:
        return 1000 * self.load.cpu_seconds / max(1, self.load.answered)
