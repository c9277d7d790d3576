"""Which points are measured, in which order, and how their times come together.

A machine's speed drifts, so a point is not measured once for long but in several short rounds that alternate over all
points; its time is the median of the rounds' medians, and how far those lie apart is reported beside it. The first
round also explores: batches that cannot meet the SLO, those that fail, and what the budget has no time for, are left
out and named.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from despina.errors import DespinaError

LATENCY_QUANTILE = 0.95
MOST_ROUNDS = 7
_EXPLORING = 0.4
"""Share of the budget the first round may use for what is not the shortest possible run."""
_LOADING = 0.2
"""Share of the budget that all instances for one number of threads may take to load."""
_QUICK_S = 1.0
"""Below that the first load tells little: the libraries of its backend come with it."""
_RUNS_PER_VISIT = 4
"""A warm-up and three that count: what a visit costs at least."""


@dataclass(frozen=True, slots=True, order=True)
class Arrangement:
    """`instances` that run at the same time, each with `threads` intra-op threads; 0: the threads are not varied."""

    threads: int
    instances: int

    def __str__(self) -> str:
        instances = "1 instance" if self.instances == 1 else f"{self.instances} instances"
        return f"{instances} x {self.threads} threads" if self.threads else instances


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """Batches of `rows` on every instance of an arrangement."""

    arrangement: Arrangement
    rows: int


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a batch takes at a point, in seconds: `seconds` typically, `slow` at the 95th percentile of all runs.
    `spread` is the range of the rounds' medians over `seconds`; None after a single round."""

    point: Point
    seconds: float
    slow: float
    spread: float | None
    rounds: int

    @property
    def throughput(self) -> float:
        """Rows per second of all instances together."""
        return self.point.arrangement.instances * self.point.rows / self.seconds


@dataclass(frozen=True, slots=True)
class Budget:
    """Until when measuring may take, on `clock` (seconds)."""

    clock: Callable[[], float]
    deadline: float

    @property
    def left(self) -> float:
        return self.deadline - self.clock()


@dataclass(frozen=True, slots=True)
class Measured:
    """`left_out` says why, by point."""

    timings: tuple[Timing, ...]
    left_out: dict[Point, str] = field(default_factory=dict)


Run = Callable[[Point, float], Sequence[float]]
"""Runs batches at a point for about so many seconds (a warm-up and three runs at least); the seconds each took. Raises
DespinaError when the model refuses them."""
Loading = Callable[[Arrangement], float]
"""How many seconds an arrangement will probably take to load before its first run; 0 when that is done."""
Tell = Callable[[str], None]


def arrangements(threads: Iterable[int], cores: int, most_instances: int) -> tuple[Arrangement, ...]:
    """What is worth trying: powers of two and the largest number of instances that `cores` have threads for. Those
    that use all cores come first, should the budget end early. Threads of 0 need none."""
    found = {
        Arrangement(each, count)
        for each in threads
        for count in doubling(min(most_instances, max(1, cores // each) if each else most_instances))
    }
    return tuple(sorted(found, key=lambda one: (-(one.threads or 1) * one.instances, one)))


def affordable(most: int, load_s: float, budget_s: float) -> int:
    """No more instances than can be loaded in a small part of the budget, when one takes `load_s` seconds. They are
    loaded for one number of threads after the other, and all stay in memory."""
    return most if load_s < _QUICK_S else max(1, min(most, int(_LOADING * budget_s / load_s)))


def doubling(largest: int) -> tuple[int, ...]:
    """What is worth trying of batch sizes, threads or instances: powers of two below `largest`, and `largest`."""
    return (*(1 << power for power in range(largest.bit_length()) if 1 << power < largest), largest)


def measure(
    tried: Sequence[Arrangement],
    sizes: Sequence[int],
    run: Run,
    budget: Budget,
    slo_s: float,
    tell: Tell,
    loading: Loading = lambda _: 0.0,
) -> Measured:
    """Time `run` at every arrangement and batch size, as far as `budget` goes. `tell` gets lines of progress."""
    rounds = _Rounds(run, budget, loading)
    visit = _EXPLORING * budget.left / max(1, len(tried) * len(sizes))
    for arrangement in tried:
        rounds.explore(arrangement, sizes, slo_s, visit)
        tell(f"{arrangement}: {sum(p.arrangement == arrangement for p in rounds.taken)} batch sizes tried")
    rounds.repeat(tell)
    return Measured(tuple(_timing(point, taken) for point, taken in sorted(rounds.taken.items())), rounds.left_out)


class _Rounds:
    """`taken`: the seconds of the runs at a point, a sequence per round. `left_out` says why, by point."""

    def __init__(self, run: Run, budget: Budget, loading: Loading) -> None:
        self._run = run
        self._budget = budget
        self._loading = loading
        self.taken: dict[Point, list[Sequence[float]]] = {}
        self.left_out: dict[Point, str] = {}

    def explore(self, arrangement: Arrangement, sizes: Sequence[int], slo_s: float, visit: float) -> None:
        """The first round of an arrangement, about `visit` seconds for each size."""
        seconds, rows, failure = 0.0, 1, ""
        for size in sizes:
            point = Point(arrangement, size)
            # A larger batch takes no less time than the smaller one before it, and at worst as much per row.
            if failure:
                self.left_out[point] = failure
            elif 2 * seconds > slo_s:
                self.left_out[point] = "cannot meet the SLO"
            elif (
                self.taken and self._loading(arrangement) + _RUNS_PER_VISIT * seconds * size / rows > self._budget.left
            ):
                self.left_out[point] = "no time left"
            else:
                try:
                    self.taken[point] = [self._run(point, visit)]
                except DespinaError as error:
                    # What does not fit into memory, or into the model, larger ones do not either. What did is a result.
                    if not self.taken:
                        raise
                    self.left_out[point] = failure = _reason(error)
                else:
                    seconds, rows = median(self.taken[point][0]), size

    def repeat(self, tell: Tell) -> None:
        """More rounds over the points found, as many as the budget has time for. One that fails now is none to
        choose."""
        for number in range(2, MOST_ROUNDS + 1):
            shortest = sum(_RUNS_PER_VISIT * median(rounds[0]) for rounds in self.taken.values())
            if shortest > self._budget.left:
                return
            visit = self._budget.left / (len(self.taken) * (MOST_ROUNDS + 1 - number))
            for point, rounds in list(self.taken.items()):
                if _RUNS_PER_VISIT * median(rounds[0]) > self._budget.left:
                    return
                try:
                    rounds.append(self._run(point, visit))
                except DespinaError as error:
                    if len(self.taken) == 1:
                        raise
                    del self.taken[point]
                    self.left_out[point] = _reason(error)
            tell(f"round {number} of {MOST_ROUNDS} done")


def _reason(error: DespinaError) -> str:
    return error.message.partition("\n")[0]


def _timing(point: Point, rounds: Sequence[Sequence[float]]) -> Timing:
    medians = [median(taken) for taken in rounds]
    seconds = median(medians)
    together = sorted(each for taken in rounds for each in taken)
    slow = together[min(len(together) - 1, int(LATENCY_QUANTILE * len(together)))]
    spread = (max(medians) - min(medians)) / seconds if len(medians) > 1 else None
    return Timing(point, seconds, slow, spread, len(rounds))
