"""`python -m benchmarks`: measures, and writes what it measured to benchmarks/out."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from benchmarks import markdown, record
from benchmarks.contender import Contender, InProcess
from benchmarks.despina_server import Despina
from benchmarks.environment import machine, versions
from benchmarks.loadgen import NoCompiler, build
from benchmarks.measurement import Kind, Point
from benchmarks.places import OUT
from benchmarks.raw import make_workload, rows_per_second
from benchmarks.repository import Batching, write_repository
from benchmarks.rounds import run

KINDS: tuple[Kind, ...] = ("binary", "json")
NOISY_CORES = 0.1
RAW_THREADS = (1, 2)
RAW_BATCHES = (1, 8, 64)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: `rounds` per point and contender, `seconds` per round."""

    rounds: int
    seconds: float
    connections: tuple[int, ...]


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, help="Alternating rounds per point.")
@click.option("--seconds", default=2.0, help="Length of a round.")
@click.option("--connections", default="1,4,16,64", help="Connections of the closed loop.")
@click.option("--quick", is_flag=True, help="2 rounds of 0.5 s: whether it works, not how fast it is.")
@click.option("--model", default="mlp", help="The model.")
@click.option("--name", default="closed-loop", help="Name of the files written.")
def main(rounds: int, seconds: float, connections: str, quick: bool, model: str, name: str) -> None:
    """Serve a generated model and load it: closed loop, keep-alive, binary and JSON."""
    effort = Effort(rounds, seconds, tuple(int(count) for count in connections.split(",")))
    if quick:
        effort = Effort(2, 0.5, effort.connections)
    try:
        build()
    except NoCompiler as missing:
        raise click.ClickException(str(missing)) from None
    publish(closed_loop(model, effort), name, ("despina",))


def closed_loop(model: str, effort: Effort) -> record.Record:
    """Despina, and the same without sockets, at every number of connections."""
    batching = Batching()
    repository = write_repository("closed-loop", [model], batching)
    workloads = {model: make_workload(model)}
    contenders: Sequence[Contender] = (Despina(repository, workloads, str(batching)), InProcess(repository))
    points = [Point(model, kind, count) for kind in KINDS for count in effort.connections]
    facts = machine()
    raw = {model: {str(count): rows_per_second(workloads[model], count, RAW_BATCHES, 0.3) for count in RAW_THREADS}}
    outcome = run(contenders, points, effort.rounds, effort.seconds)
    return record.Record(
        title=f"{model}, closed loop",
        machine=facts,
        versions=versions(),
        options={"rounds": effort.rounds, "seconds per round": effort.seconds, "generator": "loadgen.c, same machine"},
        about=outcome.about,
        skipped=outcome.skipped,
        series=outcome.series,
        raw=raw,
    )


def publish(taken: record.Record, name: str, against: Sequence[str]) -> None:
    """Write JSON and Markdown, print the Markdown, and say so when the machine was not ours alone."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    target = OUT / "results" / f"{name}-{stamp}"
    record.write(taken, target.with_suffix(".json"))
    text = markdown.page(taken, against)
    target.with_suffix(".md").write_text(text)
    print(text)
    disturbed = max((each.other_cores for series in taken.series for each in series.rounds), default=0.0)
    if disturbed > NOISY_CORES:
        print(f"Others kept up to {disturbed:.2f} cores busy: these numbers prove nothing.", file=sys.stderr)
    print(f"written to {target.relative_to(OUT.parent.parent)}.json and .md", file=sys.stderr)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
