"""Time against batch size, as a line: `fixed` seconds per batch and `per_row` seconds per row."""

from collections.abc import Sequence
from dataclasses import dataclass

from despina.tuning.measure import Arrangement, Timing


@dataclass(frozen=True, slots=True)
class Line:
    """seconds = fixed + per_row * rows. `error` is the largest relative distance of a measured time from it."""

    fixed: float
    per_row: float
    error: float


def fit(timings: Sequence[Timing]) -> Line:
    """The line through the times of one arrangement, neither part of it negative. Relative errors count, or the
    largest batch alone would decide."""
    rows = [timing.point.rows for timing in timings]
    seconds = [timing.seconds for timing in timings]
    candidates = [_only_per_row(rows, seconds), _only_fixed(seconds)]
    both = _both(rows, seconds)
    # Where one part of the best line is negative, the best allowed line lies on the border.
    fixed, per_row = both if both and min(both) >= 0 else min(candidates, key=lambda ab: _squares(ab, rows, seconds))
    error = max(abs(fixed + per_row * n - t) / t for n, t in zip(rows, seconds, strict=True))
    return Line(fixed, per_row, error)


def fit_all(timings: Sequence[Timing]) -> dict[Arrangement, Line]:
    """A line per arrangement."""
    tried = sorted({timing.point.arrangement for timing in timings})
    return {each: fit([timing for timing in timings if timing.point.arrangement == each]) for each in tried}


def _both(rows: Sequence[int], seconds: Sequence[float]) -> tuple[float, float] | None:
    """Least squares of (a + b n - t) / t; None where one batch size does not tell two parts."""
    u = [1 / t for t in seconds]
    v = [n / t for n, t in zip(rows, seconds, strict=True)]
    uu, vv, uv = _dot(u, u), _dot(v, v), _dot(u, v)
    determinant = uu * vv - uv * uv
    if determinant <= 1e-12 * uu * vv:
        return None
    return (sum(u) * vv - sum(v) * uv) / determinant, (sum(v) * uu - sum(u) * uv) / determinant


def _only_per_row(rows: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    v = [n / t for n, t in zip(rows, seconds, strict=True)]
    return 0.0, sum(v) / _dot(v, v)


def _only_fixed(seconds: Sequence[float]) -> tuple[float, float]:
    u = [1 / t for t in seconds]
    return sum(u) / _dot(u, u), 0.0


def _squares(line: tuple[float, float], rows: Sequence[int], seconds: Sequence[float]) -> float:
    return sum(((line[0] + line[1] * n) / t - 1) ** 2 for n, t in zip(rows, seconds, strict=True))


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
