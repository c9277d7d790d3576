"""`despina tune`: measures a model and proposes its configuration."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import click

from despina.cli.records import progress, reported
from despina.cli.values import FiniteRange
from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.candidate import Candidate
from despina.models.schedulers import SLO_PARAMETER
from despina.models.source import Source
from despina.repository.bare import as_repositories
from despina.settings import Settings
from despina.tuning.choose import Choice, apply, choose
from despina.tuning.curve import fit_all
from despina.tuning.measure import Arrangement, Budget, Measured, affordable, arrangements, doubling, measure
from despina.tuning.model_under_test import ModelTraits, ModelUnderTest
from despina.tuning.report import choice_text, curve_table, doubts, lines_text
from despina.tuning.write import config_text, write_config, written_config
from despina_backends.cores import usable_cores


def parse_shapes(
    context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Option callback: each value is `NAME:DIM[,DIM...]`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, colon, dims = value.rpartition(":")
        try:
            shapes[name] = tuple(int(dim) for dim in dims.split(",")) if dims else ()
        except ValueError:
            raise click.BadParameter(f"{value!r} is not NAME:DIM[,DIM...]", context, parameter) from None
        if not colon or any(dim < 1 for dim in shapes[name]):
            raise click.BadParameter(f"{value!r} is not NAME:DIM[,DIM...]", context, parameter)
    return shapes


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing but errors is logged: what every load says of a completed configuration is no news here."""
    log = logging.getLogger("despina")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@click.command(short_help="Measure a model and propose its configuration.", context_settings={"show_default": True})
@click.argument("name")
@click.option(
    "--model-repository",
    "given",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Directory of models, or a model file; repeatable.",
)
@click.option("--version", type=click.IntRange(min=1), help="Else the highest the version policy selects.")
@click.option("--slo-p99-ms", default=100.0, type=FiniteRange(min=0, min_open=True), help="The p99 to keep.")
@click.option("--budget-seconds", default=45.0, type=FiniteRange(min=1), help="For all of it, loading included.")
@click.option("--max-batch-size", default=64, type=click.IntRange(min=1), help="The largest batch to try.")
@click.option("--max-instances", type=click.IntRange(min=1), help="Else 8 on CPU and 4 on GPU.")
@click.option("--free-threads", is_flag=True, help="Vary intra-op threads even where the configuration fixes them.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    callback=parse_shapes,
    metavar="NAME:DIMS",
    help="Shape of an input with variable dimensions, without the batch: ids:128; repeatable.",
)
@click.option("--write", "written", is_flag=True, help="Write config.pbtxt instead of printing it.")
def tune(
    name: str,
    given: tuple[Path, ...],
    version: int | None,
    slo_p99_ms: float,
    budget_seconds: float,
    max_batch_size: int,
    max_instances: int | None,
    free_threads: bool,
    shapes: dict[str, tuple[int, ...]],
    written: bool,
) -> None:
    """Measure how long batches of model NAME take, and print the configuration with the highest throughput under
    --slo-p99-ms.

    The model is loaded into this process and fed random rows. Do it on the machine that will serve, with nothing else
    running. The configuration goes to stdout, everything else to stderr.
    """
    budget = Budget(time.monotonic, time.monotonic() + budget_seconds)
    with reported(), quiet(), as_repositories(given, name) as repositories:
        if written and (bare := set(given) - set(repositories)):
            raise InvalidArgument(
                f"{bare.pop()} is a model outside of a repository, which has no place for a config.pbtxt: leave "
                "out --write, or put the model into a repository"
            )
        settings = Settings(model_repository=repositories)
        candidate = Source(settings).candidate(name)
        with closing(ModelUnderTest(candidate, _version(candidate, version), settings, shapes)) as model:
            traits = model.inspect()
            tried = _arrangements(traits, _most_instances(traits, max_instances, budget_seconds), free_threads)
            model.plan_instances(tried)
            sizes = doubling(max_batch_size) if traits.batches else (1,)
            measured = measure(tried, sizes, model.run, budget, slo_p99_ms / 1e3, progress, model.loading)
        config = written_config(name, candidate.directory)
        choice = _report(measured, slo_p99_ms / 1e3, config.max_batch_size)
        if SLO_PARAMETER in config.parameters:
            progress(
                f"the parameter {SLO_PARAMETER} of the model lets the server choose batches: their size and the delay "
                "count once it is removed\n"
            )
        tuned = apply(config, choice, traits.kind, batches=traits.batches)
        _deliver(tuned, choice, candidate.directory, written=written)


def _version(candidate: Candidate, wanted: int | None) -> int:
    if not candidate.versions or (wanted is not None and wanted not in candidate.versions):
        there = ", ".join(map(str, candidate.versions)) or "none"
        version = "version" if wanted is None else f"version {wanted}"
        raise InvalidArgument(f"model '{candidate.name}' has no {version}; those selected are: {there}")
    return wanted or candidate.versions[-1]


def _most_instances(traits: ModelTraits, wanted: int | None, budget_seconds: float) -> int:
    most = wanted or (4 if traits.on_gpu else 8)
    found = affordable(most, traits.load_s, budget_seconds)
    if found < most:
        progress(
            f"an instance takes {traits.load_s:.1f} s to load: no more than {found} are tried, unless you give more "
            "--budget-seconds"
        )
    return found


def _arrangements(traits: ModelTraits, most: int, free_threads: bool) -> tuple[Arrangement, ...]:
    if traits.on_gpu:
        return arrangements((0,), 1, most)
    cores = usable_cores()
    if traits.threads and not free_threads:
        fixed = arrangements((traits.threads,), cores, most)
        return tuple(replace(one, threads=0) for one in fixed)
    return arrangements(doubling(cores), cores, most)


def _report(measured: Measured, slo_s: float, limit: int) -> Choice:
    lines = fit_all(measured.timings)
    choice = choose(measured.timings, lines, slo_s, limit)
    table, text = curve_table(measured.timings, slo_s), lines_text(lines)
    for part in (table, "", text, "", *doubts(measured), choice_text(choice, slo_s), ""):
        progress(part)
    return choice


def _deliver(config: ModelConfig, choice: Choice, directory: Path, *, written: bool) -> None:
    if not written:
        click.echo(config_text(config), nl=False)
        return
    if not choice.meets_slo:
        raise InvalidArgument("nothing was written, because no configuration keeps --slo-p99-ms")
    try:
        path, kept = write_config(config, directory)
    except OSError:  # a directory that cannot be written to: what was measured is not lost
        click.echo(config_text(config), nl=False)
        raise
    copy = f", the old one is {kept.name} (comments are only there)" if kept is not None else ""
    progress(f"wrote {path}{copy}")
