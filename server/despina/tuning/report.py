"""What was measured, as text: a table with bars, the lines, and what the choice is expected to do."""

from collections.abc import Iterable, Mapping, Sequence

from despina.tuning.choose import SERVED_PER_S, Choice
from despina.tuning.curve import Line
from despina.tuning.measure import Arrangement, Measured, Point, Timing

BAR = 24
NOISY = 0.15
SHORT_S = 1e-4


def curve_table(timings: Sequence[Timing], slo_s: float) -> str:
    """A line per point; the bar is its throughput, `!` marks points that do not keep the SLO."""
    best = max(timing.throughput for timing in timings)
    head = f"{'threads':>7} {'instances':>9} {'rows':>5} {'ms/batch':>10} {'slow ms':>9} {'spread':>7} {'rows/s':>10}"
    rows = [_row(timing, best, slo_s) for timing in timings]
    if any(_is_late(timing, slo_s) for timing in timings):
        rows.append(f"! is more than {slo_s * 1e3:g} ms for those who wait for one slow batch and are in the next")
    return "\n".join([head, *rows])


def _is_late(timing: Timing, slo_s: float) -> bool:
    return 2 * timing.slow > slo_s


def _row(timing: Timing, best: float, slo_s: float) -> str:
    at = timing.point.arrangement
    spread = "-" if timing.spread is None else f"{timing.spread:.0%}"
    bar = "#" * max(1, round(BAR * timing.throughput / best))
    mark = " !" if _is_late(timing, slo_s) else ""
    return (
        f"{at.threads or '-':>7} {at.instances:>9} {timing.point.rows:>5} {timing.seconds * 1e3:>10.3f} "
        f"{timing.slow * 1e3:>9.3f} {spread:>7} {timing.throughput:>10.0f} {bar}{mark}"
    )


def lines_text(lines: Mapping[Arrangement, Line]) -> str:
    """The fitted lines, in milliseconds."""
    return "\n".join(
        f"time({at}) = {line.fixed * 1e3:.3f} ms + {line.per_row * 1e3:.4f} ms x rows  (off by up to {line.error:.0%})"
        for at, line in lines.items()
    )


def choice_text(choice: Choice, slo_s: float) -> str:
    """The choice in words."""
    what = f"{choice.arrangement}, batches of {choice.rows}, queue delay {choice.delay_us} us"
    expected = f"{choice.throughput:.0f} rows/s, p99 about {choice.p99_s * 1e3:.1f} ms inside the server"
    limit = f"{slo_s * 1e3:g} ms"
    kept = f"within {limit}" if choice.meets_slo else f"NOT within {limit}: nothing is, this is the quickest"
    return f"{what}\nexpected: {expected}, {kept}"


def doubts(measured: Measured) -> list[str]:
    """What a reader must know before believing the table."""
    found = [f"left out, {reason}: {_points(points)}" for reason, points in _by_reason(measured.left_out).items()]
    once = sum(timing.spread is None for timing in measured.timings)
    if once:
        found.append(f"{once} of {len(measured.timings)} points were measured once only: give more --budget-seconds")
    spreads = sorted(timing.spread for timing in measured.timings if timing.spread is not None)
    if spreads and spreads[len(spreads) // 2] > NOISY:
        found.append(
            f"rounds differ by {spreads[len(spreads) // 2]:.0%} at half of the points: the machine is not quiet, and "
            "smaller differences mean nothing"
        )
    if measured.timings and min(timing.seconds for timing in measured.timings) < SHORT_S:
        found.append(
            f"batches of less than {SHORT_S * 1e3:g} ms: serving a request costs more than running it, so the front "
            "end will be the limit: where a request has one row, more instances or threads than chosen help little"
        )
    if any(timing.throughput >= SERVED_PER_S for timing in measured.timings):
        found.append(
            f"from {SERVED_PER_S} rows/s on the fewest cores that compute so many win: one HTTP process does not "
            "answer many more requests. Where requests have many rows, or with --http-workers, look for the most "
            "rows/s yourself"
        )
    return found


def _by_reason(left_out: Mapping[Point, str]) -> dict[str, list[Point]]:
    return {reason: [p for p, why in left_out.items() if why == reason] for reason in dict.fromkeys(left_out.values())}


def _points(points: Iterable[Point]) -> str:
    rows: dict[Arrangement, list[int]] = {}
    for point in points:
        rows.setdefault(point.arrangement, []).append(point.rows)
    return "; ".join(f"{at} with batches of {', '.join(map(str, sizes))}" for at, sizes in rows.items())
