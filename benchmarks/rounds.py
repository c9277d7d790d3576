"""Alternating rounds: at every point all contenders in turn, and again, so that the machine's drift hits all alike."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError

import click

from benchmarks.contender import Contender, Running
from benchmarks.measurement import Point, Round
from benchmarks.server_process import NotStarted
from benchmarks.verify import WrongAnswer

WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True)
class Series:
    """All rounds of one contender at one point; `failure` says why there are none."""

    contender: str
    point: Point
    rounds: tuple[Round, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything measured. `skipped`: contenders that did not start, and why."""

    about: Mapping[str, str]
    skipped: Mapping[str, str]
    series: tuple[Series, ...]


def run(
    contenders: Sequence[Contender],
    points: Sequence[Point],
    rounds: int,
    seconds: float,
    keep: Callable[[Outcome], object] | None = None,
) -> Outcome:
    """Start all contenders, measure all points, stop them. The first contender of a round is the last of the next.
    `keep` gets what there is after every point."""
    skipped: dict[str, str] = {}
    series: list[Series] = []
    with ExitStack() as opened:
        running: dict[str, Running] = {}
        for contender in contenders:
            try:
                running[contender.name] = contender.start()
            # An environment of a peer may be broken, its programs gone.
            except (NotStarted, OSError, CalledProcessError) as reason:
                skipped[contender.name] = str(reason)
                print(f"{contender.name} skipped: {reason}", file=sys.stderr)
            else:
                opened.callback(running[contender.name].stop)
        fit = {
            point: [each for each in contenders if each.name in running and point.kind in each.kinds]
            for point in points
        }
        steps = sum(rounds * len(each) for each in fit.values())
        about = {each.name: each.about for each in contenders if each.name in running}
        bar = opened.enter_context(click.progressbar(length=steps, file=sys.stderr, show_pos=True))
        for point, participants in fit.items():
            bar.label = str(point)
            taking_part = {each.name: running[each.name] for each in participants}
            series += measure_point(taking_part, point, rounds, seconds, partial(bar.update, 1))
            if keep is not None:
                keep(Outcome(about, skipped, tuple(series)))
    return Outcome(about, skipped, tuple(series))


def measure_point(
    running: dict[str, Running], point: Point, rounds: int, seconds: float, done: Callable[[], object]
) -> list[Series]:
    """One point. A contender with wrong answers, or that fails under load, has no numbers there. `done` is called after
    every round of every contender."""
    failures: dict[str, str] = {}
    results: dict[str, list[Round]] = {name: [] for name in running}

    def attempt(name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except CalledProcessError as error:
            said = [f"{Path(error.cmd[0]).name} ended with status {error.returncode}"]
            failures[name] = ": ".join(said + (error.stderr or "").strip().splitlines()[-1:])
        except (WrongAnswer, NotStarted, OSError) as error:
            failures[name] = str(error)

    def one_round(name: str) -> None:
        results[name].append(running[name].measure(point, seconds))

    for name, each in running.items():
        attempt(name, partial(each.verify, point))
        if name not in failures:
            attempt(name, partial(each.measure, point, WARM_UP_S))
    for number in range(rounds):
        for name in running if number % 2 == 0 else reversed(running):
            if name not in failures:
                attempt(name, partial(one_round, name))
            done()
    return [
        Series(name, point, failure=failures[name]) if name in failures else Series(name, point, tuple(results[name]))
        for name in running
    ]
