"""From rounds to the numbers of a table: medians, and ratios of what ran side by side."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measurement import Point, Round
from benchmarks.rounds import Series


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds; the CPU costs are CPU seconds per 1,000 requests, latencies microseconds. `gpu_busy` is
    in percent, `gpu_memory_mb` the most of all rounds; None where no GPU was watched, or it does not tell."""

    per_second: float
    slowest: float
    fastest: float
    p50_us: float
    p99_us: float
    server_cpu: float
    first_cpu: float | None
    client_cpu: float
    mean_batch: float | None
    errors: int
    resent: int
    calibration_ms: float
    other_cores: float
    gpu_busy: float | None
    gpu_memory_mb: float | None


def summarise(rounds: Sequence[Round]) -> Summary:
    """`slowest` and `fastest` are the requests per second of the worst and the best round."""
    speeds = [each.load.per_second for each in rounds]
    batches = [each.mean_batch for each in rounds if each.mean_batch is not None]
    firsts = [each.first_cpu_per_1000 for each in rounds if each.first_cpu_per_1000 is not None]
    gpus = [each.gpu for each in rounds if each.gpu is not None]
    busy = [gpu.utilisation for gpu in gpus if gpu.utilisation is not None]
    memory = [gpu.memory_mb for gpu in gpus if gpu.memory_mb is not None]
    return Summary(
        per_second=median(speeds),
        slowest=min(speeds),
        fastest=max(speeds),
        p50_us=middle([each.load.latencies.p50 for each in rounds]),
        p99_us=middle([each.load.latencies.p99 for each in rounds]),
        server_cpu=median(each.server_cpu_per_1000 for each in rounds),
        first_cpu=median(firsts) if firsts else None,
        client_cpu=median(each.client_cpu_per_1000 for each in rounds),
        mean_batch=median(batches) if batches else None,
        errors=sum(each.load.errors for each in rounds),
        resent=sum(each.load.resent for each in rounds),
        calibration_ms=median(each.calibration_ms for each in rounds),
        other_cores=median(each.other_cores for each in rounds),
        gpu_busy=median(busy) if busy else None,
        gpu_memory_mb=max(memory, default=None),
    )


@dataclass(frozen=True, slots=True)
class Ratio:
    """One contender against another at a point: medians over the rounds of what each pair of neighbours showed. `p99`
    is NaN where one of them has no latencies."""

    per_second: float
    p99: float
    server_cpu: float


def ratio(ours: Sequence[Round], theirs: Sequence[Round]) -> Ratio:
    """Ours divided by theirs, round by round."""
    pairs = ratios(ours, theirs)
    return Ratio(
        middle([each.per_second for each in pairs]),
        middle([each.p99 for each in pairs]),
        middle([each.server_cpu for each in pairs]),
    )


def ratios(ours: Sequence[Round], theirs: Sequence[Round]) -> list[Ratio]:
    """What each pair of neighbours showed."""
    return [
        Ratio(
            _divide(one.load.per_second, other.load.per_second),
            _divide(our_p99, their_p99),
            _divide(one.server_cpu_per_1000, other.server_cpu_per_1000),
        )
        for one, other, our_p99, their_p99 in zip(ours, theirs, _p99s(ours), _p99s(theirs), strict=True)
    ]


def middle(values: Sequence[float]) -> float:
    """The median, in which NaN, of a round that answered nothing, counts as larger than any number; a median does not
    order it. NaN where all are."""
    return math.nan if all(map(math.isnan, values)) else median(_or_infinite(values))


def _p99s(rounds: Sequence[Round]) -> Sequence[float]:
    found = [each.load.latencies.p99 for each in rounds]
    return found if all(map(math.isnan, found)) else _or_infinite(found)


def _or_infinite(values: Sequence[float]) -> list[float]:
    return [math.inf if math.isnan(value) else value for value in values]


def _divide(one: float, other: float) -> float:
    return one / other if other else math.nan


def points_of(series: Iterable[Series]) -> list[Point]:
    """Every point once, in the order measured."""
    return list(dict.fromkeys(each.point for each in series))


def row_shares(series: Series) -> tuple[list[int], list[float]]:
    """Batch sizes met, and the share of rows that ran in batches of at most that size, all rounds together. Begins with
    a share of 0 at the smallest size, so that a line can be drawn even where there is only one."""
    rows: dict[int, int] = {}
    for each in series.rounds:
        for size, count in (each.batch_sizes or {}).items():
            rows[size] = rows.get(size, 0) + size * count
    total, passed = sum(rows.values()), 0
    sizes = sorted(rows)
    shares = [0.0]
    for size in sizes:
        passed += rows[size]
        shares.append(passed / total)
    return [*sizes[:1], *sizes], shares
