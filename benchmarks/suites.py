"""What is measured: each function is one table. They only say who takes part, at which points."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import wrk
from benchmarks.child import InProcess, RuntimeAlone
from benchmarks.contender import Contender
from benchmarks.despina_server import Despina
from benchmarks.environment import machine, versions
from benchmarks.measurement import KINDS, Kind, Point
from benchmarks.models import PAYLOADS
from benchmarks.peers import PEERS
from benchmarks.raw import make_workload
from benchmarks.record import Record
from benchmarks.repository import Batching, write_repository
from benchmarks.rounds import Outcome, run
from benchmarks.scenarios.answers import FirstAnswers
from benchmarks.scenarios.contenders import CACHE, SHARED_MEMORY, DespinaScenarios, TritonScenarios
from benchmarks.scenarios.region import region
from benchmarks.scenarios.scenario import Scenario
from benchmarks.scenarios.served import write_repository as write_scenario_models
from benchmarks.session import Device
from benchmarks.workload import Workload

SWEPT: Mapping[str, Mapping[str, Batching]] = {
    "delay": {f"delay {delay} us": Batching(delay_us=delay) for delay in (0, 100, 500, 2000)},
    "batch": {f"batch {size}": Batching(max_batch_size=size) for size in (1, 4, 16, 64)},
    "instances": {f"instances {count}": Batching(instances=count, threads=1) for count in (1, 2, 4)},
    "threads": {f"threads {count or 'default'}": Batching(threads=count) for count in (1, 2, None)},
}
"""What `sweep` varies, and the names of the contenders, which say to what."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how hard: `rounds` per point and contender of `seconds` each, at these numbers of connections."""

    rounds: int
    seconds: float
    connections: tuple[int, ...]
    kinds: tuple[Kind, ...] = KINDS
    """The forms of the requests, where a table does not say it."""
    flags: tuple[str, ...] = ()
    """More flags for `despina serve`."""


def despina(workloads: Sequence[Workload], batching: Batching, effort: Effort, name: str = "despina") -> Despina:
    """Despina on a repository of its own with these models."""
    label = name.replace(",", "").replace(" ", "-")
    repository = write_repository(label, [workload.name for workload in workloads], batching)
    by_name = {workload.name: workload for workload in workloads}
    flags = ("--allow-metrics=false", *effort.flags)
    return Despina(repository, by_name, str(batching), name, flags, effort.kinds)


def closed(model: str, batching: Batching, peers: Sequence[str], effort: Effort) -> Record:
    """Closed loop: despina, itself without sockets, and peers."""
    workload = make_workload(model)
    served = despina([workload], batching, effort)
    contenders: list[Contender] = [served, InProcess(served.repository)]
    contenders += [PEERS[name](workload, batching, effort.kinds) for name in peers]
    points = [Point(model, kind, count) for kind in effort.kinds for count in effort.connections]
    return measure(f"{model}, closed loop", contenders, points, [workload], effort)


def open_loop(model: str, batching: Batching, peers: Sequence[str], rates: Sequence[float], effort: Effort) -> Record:
    """Open loop: requests arrive as a Poisson process whether the server keeps up or not."""
    workload = make_workload(model)
    contenders: list[Contender] = [despina([workload], batching, effort)]
    contenders += [PEERS[name](workload, batching, effort.kinds) for name in peers]
    connections = max(effort.connections)
    points = [Point(model, kind, connections, rate) for kind in effort.kinds for rate in rates]
    note = (
        f"latencies count from when a request was due, not from when one of the {connections} connections was free to "
        "send it; a server that falls behind shows it"
    )
    return measure(f"{model}, open loop", contenders, points, [workload], effort, note)


def sweep(model: str, what: str, effort: Effort) -> Record:
    """Closed loop against several settings of the same model, side by side."""
    workload = make_workload(model)
    contenders = [despina([workload], batching, effort, name) for name, batching in SWEPT[what].items()]
    points = [Point(model, kind, count) for kind in effort.kinds for count in effort.connections]
    return measure(f"{model}, sweep over {what}", contenders, points, [workload], effort)


def workers(model: str, counts: Sequence[int], effort: Effort) -> Record:
    """Closed loop against several numbers of front-end processes."""
    workload = make_workload(model)
    contenders = [
        despina(
            [workload],
            Batching(),
            replace(effort, flags=(*effort.flags, f"--http-workers={count}")),
            f"{count} front end{'s' * (count > 1)}",
        )
        for count in counts
    ]
    points = [Point(model, kind, count) for kind in effort.kinds for count in effort.connections]
    return measure(f"{model}, front-end processes", contenders, points, [workload], effort)


def payloads(effort: Effort) -> Record:
    """Closed loop with models that only look at the first numbers of large rows: bytes on the way in."""
    workloads = [make_workload(f"head_{size}") for size in PAYLOADS]
    contenders = [despina(workloads, Batching(max_batch_size=16), effort)]
    points = [Point(each.name, "binary", count) for each in workloads for count in effort.connections]
    return measure("payload sizes, binary", contenders, points, workloads, effort)


def compute(models: Sequence[str], device: Device, batch_sizes: Sequence[int], effort: Effort) -> Record:
    """Compute-bound models: single rows over HTTP, batched up to each size, against the session in process at it."""
    workloads = [make_workload(model) for model in models]
    batching = Batching(instances=1 if device == "cpu" else 2, threads=None, device=device)
    contenders: list[Contender] = []
    for size in batch_sizes:
        contenders.append(despina(workloads, replace(batching, max_batch_size=size), effort, served_in(size)))
        contenders.append(RuntimeAlone(size, 0, device))
    points = [Point(model, "binary", count) for model in models for count in effort.connections]
    return measure(f"compute-bound models on {device.upper()}", contenders, points, workloads, effort)


def served_in(batch_size: int) -> str:
    """Name of the contender that batches up to this size."""
    return f"despina, batch {batch_size}"


def second_opinion(model: str, effort: Effort) -> Record:
    """The same server under the harness's own generator and under wrk."""
    workload = make_workload(model)
    own = despina([workload], Batching(), effort, "under loadgen")
    other = replace(own, name="under wrk", generate=wrk.generate)
    points = [Point(model, kind, count) for kind in effort.kinds for count in effort.connections]
    return measure(f"{model}, two generators", [own, other], points, [workload], effort)


def scenarios(chosen: Sequence[Scenario], effort: Effort, keep: Callable[[Record], None]) -> Record:
    """Closed loop, one sort of request after the other: despina, and tritonserver with its ONNX Runtime backend, whose
    answers are the first, which despina must give, too. `keep` as for `measure`."""
    repository = write_scenario_models()
    first = FirstAnswers()
    flags = ("--allow-metrics=false", CACHE, SHARED_MEMORY, *effort.flags)
    points = [Point(each.name, each.kind, count) for each in chosen for count in effort.connections]

    note = (
        "models only copy; max_batch_size 64, dynamic batching without a delay, 1 CPU instance and 1 intra-op thread "
        "unless the name says something else; all requests of a scenario have their turn"
    )

    def as_lines(record: Record) -> Record:
        options = {name: value for name, value in record.options.items() if name != "rows per request"}
        return replace(record, options=options, against=("despina",), layout="lines")

    title = "sorts of requests, closed loop"
    with region() as shared:
        contenders: list[Contender] = [
            TritonScenarios(repository, chosen, first, shared),
            DespinaScenarios(repository, chosen, first, shared, flags),
        ]
        taken = measure(title, contenders, points, [], effort, note, keep=lambda record: keep(as_lines(record)))
    return as_lines(taken)


def measure(
    title: str,
    contenders: Sequence[Contender],
    points: Sequence[Point],
    workloads: Sequence[Workload],
    effort: Effort,
    *notes: str,
    keep: Callable[[Record], None] | None = None,
) -> Record:
    """Run it, and put down what it ran on. `keep` gets what there is after every point."""
    facts = machine()
    options: dict[str, Any] = {
        "rounds": effort.rounds,
        "seconds per round": effort.seconds,
        "rows per request": 1,
        "client": "on the same machine and cores",
    }

    def record(outcome: Outcome) -> Record:
        return Record(
            title=title,
            machine=facts,
            versions=versions(),
            options=options,
            about=outcome.about,
            skipped=outcome.skipped,
            series=outcome.series,
            notes=notes,
            row_bytes={workload.name: workload.row_bytes for workload in workloads},
        )

    keep_outcome = None if keep is None else lambda outcome: keep(record(outcome))
    return record(run(contenders, points, effort.rounds, effort.seconds, keep_outcome))
