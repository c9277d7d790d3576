"""`python -m benchmarks`: measures, and writes what it measured to benchmarks/out, or where it is committed from."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks import goodput, overload, perf_analyzer, suites, wrk
from benchmarks.models import MODELS
from benchmarks.options import (
    COUNT,
    LENGTH,
    MODEL,
    SAVE,
    SETTINGS,
    Names,
    Numbers,
    Words,
    effort,
    explained,
    with_model,
    with_peers,
    with_settings,
)
from benchmarks.publish import kept, publish, render, target_of, write_readme, write_results
from benchmarks.scenarios.catalogue import SCENARIOS, chosen
from benchmarks.session import Device
from benchmarks.signals import end_cleanly
from benchmarks.suites import SWEPT, Effort
from despina.http.open_files import allow_many


@click.group(context_settings={"show_default": True})
def main() -> None:
    """Measure despina. Without a command: closed."""
    allow_many()


@main.command("closed")
@with_model
@with_peers
@with_settings
@effort(grpc=True)
def closed_command(effort: Effort, model: str, names: tuple[str, ...], settings: str, save: str) -> None:
    """Closed loop, keep-alive: despina, itself without sockets, and peers."""
    publish(suites.closed(model, SETTINGS[settings], names, effort), "closed", save, ("despina",))


@main.command("open")
@with_model
@with_peers
@with_settings
@click.option("--rates", default="500,1000,2000,4000,8000,12000,16000", type=Numbers(), help="Requests per second.")
@effort(grpc=True)
def open_command(
    effort: Effort, model: str, names: tuple[str, ...], settings: str, rates: tuple[int, ...], save: str
) -> None:
    """Open loop: Poisson arrivals at given rates, latencies from when a request was due."""
    publish(suites.open_loop(model, SETTINGS[settings], names, rates, effort), "open", save, ("despina",))


@main.command("sweep")
@click.argument("what", type=click.Choice(list(SWEPT)))
@with_model
@effort()
def sweep_command(effort: Effort, what: str, model: str, save: str) -> None:
    """Closed loop over settings of the model."""
    publish(suites.sweep(model, what, effort), f"sweep-{what}", save, list(SWEPT[what])[:1])


@main.command("workers")
@with_model
@click.option("--counts", default="1,2,4", type=Numbers(), help="Front-end processes.")
@effort(connections="16,64,256")
def workers_command(effort: Effort, model: str, counts: tuple[int, ...], save: str) -> None:
    """Closed loop over numbers of front-end processes."""
    publish(suites.workers(model, counts, effort), "workers", save, ("1 front end",))


@main.command("deployments")
@click.option("--model", default="mlp_wide", type=MODEL, help="The model; mlp_wide is one where batches pay.")
@click.option(
    "--workers",
    default=0,
    type=click.IntRange(min=0),
    help="Score workers, and threads of the server; 0: as many as cores.",
)
@effort(connections="1,16,64", kind=False, flag=False)
def deployments_command(effort: Effort, model: str, workers: int, save: str) -> None:
    """Closed loop against services: entry script alone, entry script and server, server alone."""
    from benchmarks.deployments import deployments

    publish(deployments(model, workers, effort), "deployments", save, ("direct",))


@main.command("payloads")
@effort(connections="1,8,32", kind=False)
def payloads_command(effort: Effort, save: str) -> None:
    """Closed loop over sizes of binary bodies."""
    publish(suites.payloads(effort), "payloads", save, ())


@main.command("scenarios")
@click.option("--only", default="", type=Words(), help="Those with one of these in their names: bytes,gzip")
@effort(seconds=0.7, connections="1,16", rounds=3, quick=(1, 0.2))
def scenarios_command(effort: Effort, only: tuple[str, ...], save: str) -> None:
    """Closed loop, one sort of request after the other, against tritonserver with its ONNX Runtime backend."""
    if not (asked := chosen(only, effort.kinds)):
        names = ", ".join(dict.fromkeys(each.name for each in SCENARIOS))
        raise click.UsageError(f"no scenario is called so: {names}")
    with kept("scenarios") as keep:
        publish(suites.scenarios(asked, effort, keep), "scenarios", save, ("despina",))


@main.command("compute")
@click.option(
    "--models",
    default="resnet50,densenet121,bert",
    type=Names(MODELS),
    help="The models; _fp16 behind a name halves it.",
)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", help="Where.")
@click.option("--batch-sizes", default="8,16", type=Numbers(), help="Largest batches.")
@effort(seconds=20.0, connections="32", kind=False)
def compute_command(
    effort: Effort, models: tuple[str, ...], device: Device, batch_sizes: tuple[int, ...], save: str
) -> None:
    """Compute-bound models against a session in process."""
    record = suites.compute(models, device, batch_sizes, effort)
    publish(record, f"compute-{device}", save, [suites.served_in(size) for size in batch_sizes])


@main.command("second-opinion")
@with_model
@effort()
def second_opinion_command(effort: Effort, model: str, save: str) -> None:
    """The harness's generator beside wrk."""
    if not wrk.available():
        raise click.ClickException("wrk is not installed (Debian: apt-get install wrk)")
    publish(suites.second_opinion(model, effort), "second-opinion", save, ("under loadgen",))


@main.command("perf-analyzer")
@click.option("--server", type=click.Choice(["despina", "tritonserver"]), default="despina", help="Which one to ask.")
@effort(connections="1,16", kind=False)
def perf_analyzer_command(effort: Effort, server: str, save: str) -> None:
    """Triton's own load generator: does it run, and what does it say?"""
    perf_analyzer.report(server, effort, save)


@main.command("goodput")
@click.option("--model", default="mlp_wide", type=MODEL, help="The model.")
@click.option("--target-ms", default=100.0, type=LENGTH, help="The p99 that counts as good.")
@click.option("--rounds", default=3, type=COUNT, help="Alternating rounds.")
@click.option("--seconds", default=4.0, type=LENGTH, help="Length of a round.")
@click.option("--quick", is_flag=True, help="1 round of 0.5 s: whether it works.")
@SAVE
def goodput_command(model: str, target_ms: float, rounds: int, seconds: float, quick: bool, save: str) -> None:
    """Answers within a latency target, at 0.2 to 1.5 of the capacity, against fixed settings."""
    if quick:
        rounds, seconds = 1, 0.5
    with explained():
        taken = goodput.measure(model, target_ms, goodput.LOADS, rounds, seconds, say)
    write_results(asdict(taken), goodput.page(taken), target_of("goodput", save))


@main.command("overload")
@click.option("--seconds", default=60.0, type=LENGTH, help="Length of the overload.")
@click.option("--factor", default=5.0, type=LENGTH, help="Times the peak.")
@click.option("--quick", is_flag=True, help="3 seconds: whether it works.")
@SAVE
def overload_command(seconds: float, factor: float, quick: bool, save: str) -> None:
    """Many times more requests than the server can do, and what comes after."""
    with explained():
        taken = overload.measure(3.0 if quick else seconds, factor, say)
    write_results(taken, overload.page(taken), target_of("overload", save))


def say(text: str) -> None:
    print(text, file=sys.stderr)


@main.command("render")
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
def render_command(files: tuple[Path, ...]) -> None:
    """Write Markdown and plots of results again; all committed ones when none is named."""
    with explained():
        render(files)


@main.command("readme")
@click.option("--results", default="closed", help="Name of the committed results.")
def readme_command(results: str) -> None:
    """Write the table of the README, between its markers, from committed results."""
    with explained():
        write_readme(results)


PLAN = (
    ("closed", "--peers=all", "--save=closed"),
    ("closed", "--peers=tritonserver,tritonserver-onnxruntime", "--settings=defaults", "--save=closed-defaults"),
    ("closed", "--model=identity", "--peers=tritonserver,pytriton", "--save=front-end"),
    ("open", "--peers=tritonserver", "--save=open"),
    *(("sweep", what, "--connections=16,64", "--kind=binary", f"--save=sweep-{what}") for what in SWEPT),
    ("workers", "--save=workers"),
    ("workers", "--model=identity", "--save=workers-identity"),
    ("payloads", "--save=payloads"),
    ("compute", "--save=compute-cpu"),
    ("scenarios", "--save=scenarios"),
    ("goodput", "--save=goodput"),
    ("overload", "--save=overload"),
    ("deployments", "--save=deployments"),
    ("second-opinion", "--connections=16,64", "--save=second-opinion"),
    ("perf-analyzer", "--save=perf-analyzer"),
    ("perf-analyzer", "--server=tritonserver", "--save=perf-analyzer-tritonserver"),
)


@main.command("all")
@click.option("--quick", is_flag=True, help="Short rounds, nothing to be committed.")
def all_command(quick: bool) -> None:
    """Everything that is committed, one after the other: about an hour on a machine that does nothing else."""
    missing: list[str] = []
    for step in PLAN:
        arguments = [part for part in step if not (quick and part.startswith("--save"))]
        print(f"=== {' '.join(arguments)}", file=sys.stderr)
        try:
            main([*arguments, "--quick"] if quick else arguments, standalone_mode=False)
        except click.ClickException as reason:
            # What is missing for one table is no reason to go without the others.
            reason.show()
            missing.append(" ".join(arguments))
    if missing:
        raise click.ClickException(f"not measured, for the reasons above: {'; '.join(missing)}")


def with_command(arguments: Sequence[str]) -> list[str]:
    """`closed` unless a command is named."""
    named = arguments and (arguments[0] in main.commands or arguments[0] == "--help")
    return list(arguments) if named else ["closed", *arguments]


if __name__ == "__main__":
    end_cleanly()
    main(with_command(sys.argv[1:]), prog_name="python -m benchmarks")
