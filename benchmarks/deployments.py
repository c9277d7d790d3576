"""The three ways to deploy a model, under the same load: default, middleware and direct.

    default      N workers of an entry script, each with an onnxruntime session of its own; no batching
    middleware   N workers of an entry script, which ask the inference server beside them
    direct       the inference server alone
    no-gate      the same, asked at its own port: what the gate costs

The first three are behind the same gate. All get the same rows as JSON, and have as many threads that compute: N
sessions of one thread, or one instance of N threads.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from benchmarks.measurement import Point
from benchmarks.places import OUT
from benchmarks.raw import make_workload
from benchmarks.record import Record
from benchmarks.repository import Batching, write_repository
from benchmarks.service import DeployedService
from benchmarks.suites import Effort, measure
from despina.deploy.home import Home
from despina.deploy.record import ModelDescription
from despina.deploy.registry import Registry


def deployments(model: str, workers: int, effort: Effort) -> Record:
    """Closed loop against one service of each kind, side by side."""
    workload = make_workload(model)
    cores = workers or len(os.sched_getaffinity(0))
    batching = Batching(threads=cores)
    home = _home()
    repository, alone = (
        _register(home, f"{framework.lower()}-{model}", model, framework, batching) for framework in ("Multi", "Custom")
    )
    variables = {"WORKER_COUNT": str(cores), "MODEL": model, "THREADS": "1"}
    scripted = f"{cores} gunicorn worker(s)"
    contenders = [
        DeployedService(home, "direct", repository, workload, f"the server; {batching}"),
        DeployedService(home, "no-gate", repository, workload, "as direct, without the gate in between", gated=False),
        DeployedService(
            home,
            "default",
            alone,
            workload,
            f"{scripted}, each with an onnxruntime session of 1 intra-op thread",
            "default.py",
            variables,
        ),
        DeployedService(
            home,
            "middleware",
            repository,
            workload,
            f"{scripted}, which ask the server beside them with binary tensors; server: {batching}",
            "middleware.py",
            variables,
        ),
    ]
    points = [Point(model, "json", count) for count in effort.connections]
    record = measure(f"{model}, three ways to deploy it", contenders, points, [workload], effort)
    return replace(record, notes=tuple(_note(one, points) for one in contenders if one.seen))


def _home() -> Home:
    folder = OUT / "deployments"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Home(folder)


def _register(home: Home, name: str, model: str, framework: str, batching: Batching) -> str:
    """The same folder as a model for the server, or as one for scripts only."""
    root = write_repository(f"deployments/{name}/triton", [model], batching)
    return Registry(home).register(ModelDescription(name, framework), root).id


def _note(contender: DeployedService, points: Sequence[Point]) -> str:
    seen = [contender.seen[point] for point in points if point in contender.seen]
    loads = " / ".join(str(point.connections) for point in points if point in contender.seen)
    # The first round of each point was for warming up.
    tails = " / ".join(f"{median(one.p95_us[1:] or one.p95_us) / 1000:.3g}" for one in seen)
    memory = max(one.memory_mb for one in seen)
    return (
        f"{contender.name}: p95 {tails} ms at {loads} connections; "
        f"memory of all its processes {memory:.0f} MB (proportional set size)"
    )
