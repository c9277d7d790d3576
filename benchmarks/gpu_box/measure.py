"""The benchmark proper, run in a process that finds the GPU:

    python -m benchmarks.gpu_box.measure OUTPUT [MODEL...]

Per model, the server under single-row requests over HTTP, and with the rows in system and in CUDA shared memory; each
in alternating rounds with a session in this process whose inputs and outputs stay on the GPU, at the largest batch:
the speed nothing can exceed.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import loadgen
from benchmarks.contender import V2, Render
from benchmarks.despina_server import start_despina
from benchmarks.environment import machine, versions
from benchmarks.gpu import GpuUse, GpuWatch, open_nvml
from benchmarks.gpu_box.regions import cuda_region, shared_request, system_region
from benchmarks.gpu_box.report import markdown
from benchmarks.raw import make_workload
from benchmarks.repository import Batching, write_repository
from benchmarks.requests import v2_request, write_requests
from benchmarks.session import BoundSession, open_session
from benchmarks.signals import end_cleanly
from benchmarks.verify import verify
from benchmarks.workload import Workload
from despina.telemetry.nvml import Nvml

NAMES = ("resnet50_fp16", "densenet121_fp16", "bert_fp16")
FLAGS = ("--allow-metrics=false", "--allow-client-shm=true", "--exit-on-error=true")
BATCHING = Batching(max_batch_size=64, delay_us=1000, instances=2, threads=None, device="gpu")
"""Two instances hide the copies of one batch behind the other's computation."""
CONNECTIONS = 256
ROUNDS = 5
SECONDS = 3.0
WARM_UP_S = 1.0
Measure = Callable[[float], float]
"""Seconds to measure for, and the rows per second."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Rows per second in one round, and the GPU beside it. `way` is how rows come to the server; `served` is False for
    the session in this process that was measured in turns with it."""

    way: str
    served: bool
    rows_per_second: float
    gpu: GpuUse | None


def compare(way: str, served: Measure, raw: Measure, count: int, seconds: float, nvml: Nvml | None) -> list[Figure]:
    """Both in turn, `count` times, the order reversed every other time."""
    figures: list[Figure] = []
    for number in range(count):
        for is_served in (False, True) if number % 2 == 0 else (True, False):
            print(f"{way}, round {number + 1} of {count}: {'served' if is_served else 'raw'}", file=sys.stderr)
            with GpuWatch(nvml) as watch:
                speed = (served if is_served else raw)(seconds)
            figures.append(Figure(way, is_served, speed, watch.use))
    return figures


def workload_of(name: str, session: Any) -> Workload:
    """The rows, and what ONNX Runtime answers to each of them. The tolerance is a quarter of the distance between the
    two answers nearest to each other: enough to tell whose answer it is, whatever order a batch sums in."""
    workload = make_workload(name, session)
    return replace(workload, tolerance=nearest(workload.expected) / 4)


def nearest(answers: Any) -> float:
    """The smallest distance (largest difference of an element) between two rows."""
    flat = answers.reshape(len(answers), -1).astype(np.float64)
    return min(float(np.abs(a - b).max()) for i, a in enumerate(flat) for b in flat[:i])


def _served(port: int, workload: Workload, render: Render) -> Measure:
    """Single-row requests, once every row has got its own answer."""
    requests = [render(workload, "binary", row) for row in range(workload.rows)]
    verify(port, workload, requests, V2.read(workload, "binary"), connections=16)
    files = write_requests(requests)

    def measure(seconds: float) -> float:
        load = loadgen.generate(port, CONNECTIONS, seconds, files)
        if load.errors:
            raise RuntimeError(f"{load.errors} of {load.answered} requests failed")
        return load.per_second

    return measure


def measure_model(name: str, nvml: Nvml | None, cudart: Any) -> Iterator[list[Figure]]:
    """One way after the other for one model. Raises NotStarted, WrongAnswer, OSError."""
    session = open_session(name, "gpu")
    workload = workload_of(name, session)
    bound = BoundSession(session, workload.inputs, BATCHING.max_batch_size, "gpu")

    def raw(seconds: float) -> float:
        return bound.run(seconds).rows_per_second

    server = start_despina(f"gpu-{name}", write_repository("gpu", [name], BATCHING), FLAGS, timeout_s=300.0)
    try:
        # Both regions have the same name, so that the same requests fit; hence one after the other.
        for way, render, region in (
            ("HTTP", v2_request, nullcontext()),
            ("system shared memory", shared_request, system_region(server.port, workload)),
            ("CUDA shared memory", shared_request, cuda_region(server.port, workload, cudart)),
        ):
            with region:
                served = _served(server.port, workload, render)
                served(WARM_UP_S)
                yield compare(way, served, raw, ROUNDS, SECONDS, nvml)
    finally:
        server.stop()


def main(output: Path, names: Sequence[str]) -> None:
    """Measure, and write OUTPUT/gpu.json and OUTPUT/gpu.md whenever there is more: time on such a machine may end."""
    from despina_backends.onnxruntime.cuda import open_cudart
    from despina_backends.onnxruntime.runtime import load_runtime

    runtime: Any = load_runtime()
    told = {"settings": str(BATCHING), "connections": CONNECTIONS, "flags": " ".join(FLAGS)}
    told |= {"rounds": ROUNDS, "seconds per round": SECONDS}
    record: dict[str, Any] = {"machine": machine(), "versions": versions(), "serving": told, "models": {}}
    nvml, cudart = open_nvml(), open_cudart(runtime.cuda_version)
    output.mkdir(parents=True, exist_ok=True)
    loadgen.build()

    def write() -> None:
        (output / "gpu.json").write_text(json.dumps(record, indent=2) + "\n")
        (output / "gpu.md").write_text(markdown(record))

    for name in names:
        found: dict[str, Any] = {"figures": []}
        record["models"][name] = found
        try:
            for figures in measure_model(name, nvml, cudart):
                found["figures"] += [asdict(figure) for figure in figures]
                write()
        except Exception as error:
            # One model's failure is a result like others; the next model can still be measured.
            found["failure"] = f"{type(error).__name__}: {error}"
        write()


if __name__ == "__main__":
    end_cleanly()
    main(Path(sys.argv[1]), sys.argv[2:] or NAMES)
