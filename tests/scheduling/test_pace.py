import pytest

from despina.scheduling.pace import DrainRate, FastestBatch

MS = 1_000_000


def test_the_rate_is_measured_over_stretches_with_a_backlog() -> None:
    rate = DrainRate()
    for ms in range(0, 1000, 10):
        rate.batch_done(4, (1 + ms) * MS, True)
    assert rate.rows_per_second(1000 * MS) == pytest.approx(400)
    assert rate.seconds_for(200, 1000 * MS) == pytest.approx(0.5)


def test_idle_time_does_not_count() -> None:
    rate = DrainRate()
    for start in (0, 60_000):
        for ms in range(0, 600, 10):
            rate.batch_done(4, (1 + start + ms) * MS, True)
        rate.batch_done(4, 0, False)
    assert rate.rows_per_second(70_000 * MS) == pytest.approx(400)


def test_the_first_window_counts_before_it_is_over() -> None:
    rate = DrainRate()
    rate.batch_done(4, 10 * MS, True)
    rate.batch_done(4, 20 * MS, True)
    assert rate.rows_per_second(20 * MS) == pytest.approx(400)


def test_a_change_of_pace_is_followed() -> None:
    rate = DrainRate()
    for ms in range(0, 1000, 10):
        rate.batch_done(4, (1 + ms) * MS, True)
    for ms in range(1000, 6000, 100):
        rate.batch_done(4, (1 + ms) * MS, True)
    assert rate.rows_per_second(6000 * MS) == pytest.approx(40, rel=0.1)


def test_a_guess_while_nothing_is_known_and_a_ceiling() -> None:
    rate = DrainRate()
    assert rate.seconds_for(1000, 5 * MS) == DrainRate.UNKNOWN_S
    rate.batch_done(1, 1 * MS, True)
    rate.batch_done(1, 1001 * MS, True)
    assert rate.seconds_for(1000, 1001 * MS) == DrainRate.LONGEST_S


@pytest.mark.parametrize(
    ("max_batch_size", "instances", "rows_ahead", "wait_ms"),
    [(1, 1, 0, 0), (1, 1, 3, 9), (1, 2, 3, 3), (8, 1, 7, 0), (8, 1, 8, 3), (8, 1, 17, 6), (8, 2, 17, 3), (0, 1, 2, 6)],
)
def test_the_least_wait(max_batch_size: int, instances: int, rows_ahead: int, wait_ms: int) -> None:
    fastest = FastestBatch(max_batch_size, instances)
    for number in range(FastestBatch.MEMORY):
        fastest.batch_done(None, 1, (3 + number) * MS)
    assert fastest.wait_ns(rows_ahead) == wait_ms * MS


def test_nothing_is_estimated_from_too_few_batches_and_old_ones_are_forgotten() -> None:
    fastest = FastestBatch(1, 1)
    for _ in range(FastestBatch.MEMORY - 1):
        fastest.batch_done(None, 1, 3 * MS)
    assert fastest.wait_ns(100) == 0
    for _ in range(FastestBatch.MEMORY):
        fastest.batch_done(None, 1, 5 * MS)
    assert fastest.wait_ns(1) == 5 * MS
