import math

from benchmarks.latencies import Latencies
from benchmarks.measurement import Load, Point, Round
from benchmarks.rounds import Series
from benchmarks.summary import ratio, row_shares, summarise


def a_round(completed: int, p99: float = math.nan, cpu: float = 1.0, errors: int = 0) -> Round:
    load = Load(completed, completed, 2.0, errors, 0.5, Latencies(p50=p99 / 2, p99=p99))
    return Round(load, cpu, 0.0, 10.0)


def test_medians_and_the_spread_of_the_rounds() -> None:
    summary = summarise([a_round(100, 9.0), a_round(4000, 1.0, errors=2), a_round(300, 5.0, errors=1)])
    assert (summary.per_second, summary.slowest, summary.fastest) == (150.0, 50.0, 2000.0)
    assert (summary.p99_us, summary.errors) == (5.0, 3)


def test_cpu_seconds_are_per_thousand_requests_on_both_sides() -> None:
    summary = summarise([a_round(4000)])
    assert (summary.server_cpu, summary.client_cpu) == (0.25, 0.125)


def test_a_ratio_is_the_median_of_neighbours_and_not_the_ratio_of_medians() -> None:
    # The machine was three times as fast in the last round: each pair still says 2, 2 and 1.
    ours = [a_round(200, 1.0), a_round(400, 1.0), a_round(600, 1.0)]
    theirs = [a_round(100, 2.0), a_round(200, 4.0), a_round(600, 1.0)]
    found = ratio(ours, theirs)
    assert (found.per_second, found.p99) == (2.0, 0.5)


def test_no_latencies_give_no_ratio_of_latencies() -> None:
    assert math.isnan(ratio([a_round(1)], [a_round(1)]).p99)


def test_a_round_that_answered_nothing_is_the_slowest_wherever_it_comes() -> None:
    known = [a_round(100, p99) for p99 in (1.0, 2.0, 3.0, 4.0)]
    for place in range(5):
        rounds = [*known[:place], a_round(0), *known[place:]]
        assert summarise(rounds).p99_us == 3.0
        assert ratio(rounds, [a_round(100, 1.0)] * 5).p99 == 3.0
        assert ratio([a_round(100, 1.0)] * 5, rounds).per_second == 1.0
    assert summarise([a_round(0), a_round(0), a_round(100, 1.0)]).p99_us == math.inf


def test_row_shares_count_rows_and_not_executions() -> None:
    # 10 rows alone and 2 batches of 5: half of the rows ran alone, though five of six executions were single.
    load = Load(20, 20, 1.0, 0, 0.0, Latencies())
    series = Series("s", Point("m", "json", 4), (Round(load, 0.0, 0.0, 1.0, 1.0, {1: 10, 5: 2}),))
    assert row_shares(series) == ([1, 1, 5], [0.0, 0.5, 1.0])
