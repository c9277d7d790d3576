from collections.abc import Sequence

import pytest

from despina.errors import DespinaError, Internal
from despina.tuning.measure import (
    Arrangement,
    Budget,
    Measured,
    Point,
    affordable,
    arrangements,
    doubling,
    measure,
)

ONE = Arrangement(1, 1)


class Machine:
    """A model that takes `fixed + per_row * rows` seconds of a clock that nothing else moves."""

    def __init__(self, fixed: float = 0.001, per_row: float = 0.001, drift: Sequence[float] = (1.0,)) -> None:
        self.fixed, self.per_row, self.drift = fixed, per_row, drift
        self.now = 0.0
        self.visits: list[Point] = []

    def run(self, point: Point, seconds: float) -> list[float]:
        drift = self.drift[self.visits.count(point) % len(self.drift)]
        self.visits.append(point)
        taken = drift * (self.fixed + self.per_row * point.rows)
        runs = max(3, int(seconds / taken))
        self.now += (runs + 1) * taken
        return [taken] * runs

    def measure(self, sizes: Sequence[int], budget: float = 10.0, slo: float = 10.0) -> Measured:
        return measure([ONE], sizes, self.run, Budget(lambda: self.now, budget), slo, lambda line: None)


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (64, (1, 2, 4, 8, 16, 32, 64))]
)
def test_sizes_double_up_to_the_largest(largest: int, sizes: tuple[int, ...]) -> None:
    assert doubling(largest) == sizes


@pytest.mark.parametrize(
    ("threads", "cores", "most", "expected"),
    [
        ((1, 2), 2, 8, [(1, 2), (2, 1), (1, 1)]),
        ((1,), 1, 8, [(1, 1)]),
        ((4,), 2, 8, [(4, 1)]),
        ((0,), 1, 3, [(0, 3), (0, 2), (0, 1)]),
        ((1,), 16, 2, [(1, 2), (1, 1)]),
    ],
)
def test_arrangements_never_ask_for_more_than_the_cores_and_use_all_of_them_first(
    threads: tuple[int, ...], cores: int, most: int, expected: list[tuple[int, int]]
) -> None:
    assert [(one.threads, one.instances) for one in arrangements(threads, cores, most)] == expected


def test_rounds_alternate_over_the_points() -> None:
    machine = Machine()
    measured = machine.measure([1, 2])
    assert [point.rows for point in machine.visits[:6]] == [1, 2, 1, 2, 1, 2]
    assert [timing.rounds for timing in measured.timings] == [7, 7]


def test_the_time_is_the_median_of_rounds_and_their_range_is_told() -> None:
    (timing,) = Machine(drift=(1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0)).measure([1]).timings
    assert timing.seconds == pytest.approx(0.002)
    assert timing.spread == pytest.approx(1.0)
    assert timing.slow == pytest.approx(0.004)
    assert timing.throughput == pytest.approx(500)


def test_larger_batches_than_one_that_breaks_the_slo_are_not_tried() -> None:
    measured = Machine().measure([1, 2, 4, 8, 16], slo=0.009)
    assert [timing.point.rows for timing in measured.timings] == [1, 2, 4]
    assert measured.left_out == {Point(ONE, rows): "cannot meet the SLO" for rows in (8, 16)}


def test_what_the_budget_has_no_time_for_is_left_out_and_the_budget_is_kept() -> None:
    machine = Machine(fixed=0.0, per_row=1.0)
    measured = machine.measure([1, 2, 4, 8], budget=20.0, slo=100.0)
    assert [timing.point.rows for timing in measured.timings] == [1, 2]
    assert measured.left_out == {Point(ONE, rows): "no time left" for rows in (4, 8)}
    assert [timing.spread for timing in measured.timings] == [None, None]
    assert machine.now <= 20.0


def test_batches_that_fail_are_left_out_with_the_larger_ones_and_the_others_stay() -> None:
    machine = Machine()

    def run(point: Point, seconds: float) -> list[float]:
        if point.rows > 2:
            raise Internal(f"a batch of {point.rows} failed: out of memory\nmore")
        return machine.run(point, seconds)

    measured = measure([ONE], [1, 2, 4, 8], run, Budget(lambda: machine.now, 10.0), 10.0, lambda line: None)
    assert [timing.point.rows for timing in measured.timings] == [1, 2]
    assert measured.left_out == {Point(ONE, rows): "a batch of 4 failed: out of memory" for rows in (4, 8)}


def test_batches_that_fail_in_a_later_round_are_not_chosen_from() -> None:
    machine = Machine()

    def run(point: Point, seconds: float) -> list[float]:
        if point.rows == 2 and point in machine.visits:
            raise Internal("out of memory")
        return machine.run(point, seconds)

    measured = measure([ONE], [1, 2], run, Budget(lambda: machine.now, 10.0), 10.0, lambda line: None)
    assert [(timing.point.rows, timing.rounds) for timing in measured.timings] == [(1, 7)]
    assert measured.left_out == {Point(ONE, 2): "out of memory"}


def test_a_model_that_fails_in_a_later_round_altogether_is_not_measured() -> None:
    machine = Machine()

    def run(point: Point, seconds: float) -> list[float]:
        if machine.visits:
            raise Internal("out of memory")
        return machine.run(point, seconds)

    with pytest.raises(DespinaError, match="out of memory"):
        measure([ONE], [1], run, Budget(lambda: machine.now, 10.0), 10.0, lambda line: None)


def test_a_model_that_refuses_the_first_batch_is_not_measured() -> None:
    def run(point: Point, seconds: float) -> list[float]:
        raise Internal("no")

    with pytest.raises(DespinaError, match="no"):
        measure([ONE], [1, 2], run, Budget(lambda: 0.0, 10.0), 10.0, lambda line: None)


def test_the_smallest_batch_is_always_measured() -> None:
    for budget in (0.0, -1.0):  # loading may have used it up
        assert [timing.rounds for timing in Machine().measure([1, 2], budget=budget).timings] == [1]


def test_the_slow_end_is_the_95th_percentile_and_not_the_slowest_of_all() -> None:
    runs = [0.001] * 99 + [1.0]
    measured = measure([ONE], [1], lambda point, seconds: runs, Budget(lambda: 0.0, 10.0), 10.0, lambda line: None)
    assert measured.timings[0].slow == 0.001


@pytest.mark.parametrize(
    ("load_s", "expected"),
    [(0.1, 8), (0.9, 8), (1.1, 8), (2.0, 4), (9.0, 1), (60.0, 1)],
)
def test_models_that_load_slowly_are_tried_on_fewer_instances(load_s: float, expected: int) -> None:
    assert affordable(8, load_s, 45.0) == expected


def test_what_would_load_for_longer_than_there_is_time_left_is_left_out() -> None:
    machine = Machine()
    slow, quick = Arrangement(2, 4), Arrangement(1, 1)

    def loading(arrangement: Arrangement) -> float:
        return 20.0 if arrangement == slow else 0.0

    budget = Budget(lambda: machine.now, 10.0)
    measured = measure([quick, slow], [1, 2], machine.run, budget, 10.0, lambda line: None, loading)
    assert {timing.point.arrangement for timing in measured.timings} == {quick}
    assert measured.left_out == {Point(slow, 1): "no time left", Point(slow, 2): "no time left"}


def test_the_first_arrangement_is_tried_however_long_it_loads() -> None:
    machine = Machine()
    budget = Budget(lambda: machine.now, 10.0)
    measured = measure([ONE], [1], machine.run, budget, 10.0, lambda line: None, lambda _: 20.0)
    assert len(measured.timings) == 1
