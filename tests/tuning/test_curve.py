from collections.abc import Callable

import pytest

from despina.tuning.curve import fit, fit_all
from despina.tuning.measure import Arrangement, Point, Timing


def timings(seconds: Callable[[int], float], sizes: tuple[int, ...] = (1, 2, 4, 8), instances: int = 1) -> list[Timing]:
    return [Timing(Point(Arrangement(1, instances), n), seconds(n), seconds(n), 0.0, 3) for n in sizes]


def test_a_line_is_found_again() -> None:
    line = fit(timings(lambda n: 0.003 + 0.001 * n))
    assert (line.fixed, line.per_row) == pytest.approx((0.003, 0.001))
    assert line.error == pytest.approx(0, abs=1e-9)


def test_no_part_is_negative() -> None:
    superlinear = fit(timings(lambda n: 0.001 * n * n))
    falling = fit(timings(lambda n: 0.01 / n))
    assert superlinear.fixed == 0
    assert superlinear.per_row > 0
    assert superlinear.error > 0.5
    assert (falling.per_row, falling.fixed > 0) == (0, True)


def test_small_batches_count_as_much_as_large_ones() -> None:
    # In absolute terms the error at 1024 rows would hide the fixed part.
    line = fit(timings(lambda n: 0.003 + 0.001 * n + (0.05 if n == 1024 else 0), (1, 2, 4, 8, 1024)))
    assert line.fixed == pytest.approx(0.003, rel=0.1)


def test_one_batch_size_tells_one_part() -> None:
    line = fit(timings(lambda n: 0.004, (1,)))
    assert line.fixed + line.per_row == pytest.approx(0.004)


def test_every_arrangement_has_its_line() -> None:
    lines = fit_all([*timings(lambda n: 0.001 * n), *timings(lambda n: 0.002 * n, instances=2)])
    assert [(at.instances, line.per_row) for at, line in lines.items()] == [(1, 0.001), (2, 0.002)]
