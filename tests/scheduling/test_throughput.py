import pytest

from despina.scheduling.throughput import Throughput

MS = 1_000_000


def test_the_rate_is_measured_over_stretches_with_a_backlog() -> None:
    rate = Throughput()
    for ms in range(0, 1000, 10):
        rate.batch_done(4, (1 + ms) * MS, True)
    assert rate.rows_per_second(1000 * MS) == pytest.approx(400)
    assert rate.seconds_for(200, 1000 * MS) == pytest.approx(0.5)


def test_idle_time_does_not_count() -> None:
    rate = Throughput()
    for start in (0, 60_000):
        for ms in range(0, 600, 10):
            rate.batch_done(4, (1 + start + ms) * MS, True)
        rate.batch_done(4, 0, False)
    assert rate.rows_per_second(70_000 * MS) == pytest.approx(400)


def test_the_first_window_counts_before_it_is_over() -> None:
    rate = Throughput()
    rate.batch_done(4, 10 * MS, True)
    rate.batch_done(4, 20 * MS, True)
    assert rate.rows_per_second(20 * MS) == pytest.approx(400)


def test_a_change_of_pace_is_followed() -> None:
    rate = Throughput()
    for ms in range(0, 1000, 10):
        rate.batch_done(4, (1 + ms) * MS, True)
    for ms in range(1000, 6000, 100):
        rate.batch_done(4, (1 + ms) * MS, True)
    assert rate.rows_per_second(6000 * MS) == pytest.approx(40, rel=0.1)


def test_a_guess_while_nothing_is_known_and_a_ceiling() -> None:
    rate = Throughput()
    assert rate.seconds_for(1000, 5 * MS) == Throughput.UNKNOWN_S
    rate.batch_done(1, 1 * MS, True)
    rate.batch_done(1, 1001 * MS, True)
    assert rate.seconds_for(1000, 1001 * MS) == Throughput.LONGEST_S
