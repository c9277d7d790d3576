"""Goodput: how many answers per second come within a target, at loads below and above what the server can do.

The same model under a latency target (`slo_p99_ms`), without a delay, and under fixed batch sizes and delays, one load
after the other in alternating rounds. Requests arrive as a Poisson process, whether the server keeps up or not.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import loadgen
from benchmarks.contender import RunningServer
from benchmarks.despina_server import Despina
from benchmarks.environment import machine, versions
from benchmarks.latencies import quantile
from benchmarks.measurement import Point
from benchmarks.raw import make_workload
from benchmarks.repository import Batching, write_repository
from benchmarks.requests import write_requests
from benchmarks.workload import Workload

CONNECTIONS = 2048
"""Enough for every load to have more requests under way than the target has room for: else it is the clients who wait
for a connection, and no server can help that."""
FLAGS = ("--allow-metrics=false",)
LOADS = (0.2, 0.5, 0.8, 1.0, 1.2, 1.5)


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to serve the model: its settings, and a parameter of the model."""

    name: str
    batching: Batching
    parameter: tuple[str, str] | None = None


def arms(target_ms: float) -> tuple[Arm, ...]:
    """The target, no delay, and three fixed settings."""
    return (
        Arm("latency target", Batching(max_batch_size=64, threads=None), ("slo_p99_ms", f"{target_ms:g}")),
        Arm("delay 0, batch 64", Batching(max_batch_size=64, threads=None)),
        Arm("delay 2 ms, batch 8", Batching(max_batch_size=8, delay_us=2_000, threads=None)),
        Arm("delay 5 ms, batch 32", Batching(max_batch_size=32, delay_us=5_000, threads=None)),
        Arm("delay 20 ms, batch 64", Batching(max_batch_size=64, delay_us=20_000, threads=None)),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One load on one arm: requests per second that arrived, answers per second within the target and in all, the part
    refused, and the p99 of the answers in milliseconds."""

    arm: str
    load: float
    offered: float
    goodput: float
    answered: float
    refused: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Goodput:
    """A run: `capacity` is what a closed loop got out of the arm without delay, per second; `outcomes` are the medians
    of `rounds`, which are in the order measured."""

    model: str
    target_ms: float
    capacity: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    options: Mapping[str, Any]
    outcomes: tuple[Outcome, ...] = ()
    rounds: tuple[Outcome, ...] = ()


def measure(
    model: str, target_ms: float, loads: Sequence[float], rounds: int, seconds: float, say: Callable[[str], None]
) -> Goodput:
    """Start every arm, find the capacity, and go through the loads."""
    workload = make_workload(model)
    started: dict[str, RunningServer] = {}
    taken: list[Outcome] = []
    with ExitStack() as opened:
        for arm in arms(target_ms):
            started[arm.name] = running = _start(arm, workload)
            opened.callback(running.stop)
            running.verify(Point(model, "binary", 4))
        files = write_requests(running.requests(Point(model, "binary", 1)))
        capacity = _capacity(started["delay 0, batch 64"].server.port, files, seconds)
        say(f"capacity {capacity:.0f}/s")
        for number in range(rounds):
            for load in loads:
                for name, running in started.items() if number % 2 == 0 else reversed(started.items()):
                    taken.append(_one(name, running, files, load, load * capacity, seconds, target_ms, number))
                say(f"round {number + 1} of {rounds}, load {load:g} done")
    options = {
        "rounds": rounds,
        "seconds per round": seconds,
        "connections": CONNECTIONS,
        "flags": " ".join(FLAGS),
        **{arm.name: str(arm.batching) for arm in arms(target_ms)},
    }
    return Goodput(model, target_ms, capacity, machine(), versions(), options, _medians(taken), tuple(taken))


def _start(arm: Arm, workload: Workload) -> RunningServer:
    label = arm.name.replace(" ", "-").replace(",", "")
    repository = write_repository(label, [workload.name], arm.batching)
    if arm.parameter is not None:
        key, value = arm.parameter
        config = repository / workload.name / "config.pbtxt"
        text = f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
        config.write_text(config.read_text() + text)
    return Despina(repository, {workload.name: workload}, arm.name, label, FLAGS).start()


def _capacity(port: int, files: Sequence[Path], seconds: float) -> float:
    """Requests per second of a closed loop."""
    return statistics.median(loadgen.generate(port, 64, seconds, files).per_second for _ in range(3))


def _one(
    name: str,
    running: RunningServer,
    files: Sequence[Path],
    load: float,
    rate: float,
    seconds: float,
    target_ms: float,
    seed: int,
) -> Outcome:
    told = loadgen.tell(running.server.port, CONNECTIONS, seconds, files, rate, seed)
    histogram = dict(told["histogram"])
    within = sum(count for top, count in histogram.items() if top <= target_ms * 1e6)
    sent = told["answered"] + told["unanswered"]
    span = told["seconds"]
    return Outcome(
        name,
        load,
        sent / span,
        within / span,
        sum(histogram.values()) / span,
        told["errors"] / max(1, sent),
        quantile(histogram, 0.99) / 1000,
    )


def _medians(rounds: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """One for each load on each arm."""
    points = dict.fromkeys((each.arm, each.load) for each in rounds)
    return tuple(_median([each for each in rounds if (each.arm, each.load) == point]) for point in points)


def _median(outcomes: Sequence[Outcome]) -> Outcome:
    def of(name: str) -> float:
        return statistics.median(getattr(each, name) for each in outcomes)

    numbers = {name: of(name) for name in ("offered", "goodput", "answered", "refused", "p99_ms")}
    return replace(outcomes[0], **numbers)


def page(taken: Goodput) -> str:
    """The table, as Markdown."""
    names = list(dict.fromkeys(each.arm for each in taken.outcomes))
    loads = list(dict.fromkeys(each.load for each in taken.outcomes))
    cells = {(each.arm, each.load): each for each in taken.outcomes}
    lines = [
        f"# Goodput of {taken.model} under {taken.target_ms:g} ms",
        "",
        f"Capacity {taken.capacity:.0f} requests/s (closed loop, 64 connections, no delay, batch 64). Each cell: "
        f"answers per second within {taken.target_ms:g} ms / p99 of all answers in ms / part refused with 503.",
        "",
        "| load | offered/s | " + " | ".join(names) + " |",
        "|---|---|" + "---|" * len(names),
    ]
    for load in loads:
        row = [cells[name, load] for name in names]
        said = [f"{each.goodput:.0f} / {each.p99_ms:.0f} / {each.refused:.0%}" for each in row]
        lines.append(f"| {load:g} | {row[0].offered:.0f} | " + " | ".join(said) + " |")
    told = [f"- {key}: {value}" for key, value in {**taken.machine, **taken.versions, **taken.options}.items()]
    return "\n".join([*lines, "", *told, ""])
