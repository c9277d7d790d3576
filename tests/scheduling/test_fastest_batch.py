import pytest

from despina.scheduling.fastest_batch import FastestBatch

MS = 1_000_000


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
