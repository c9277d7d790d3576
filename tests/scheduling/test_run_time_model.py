import pytest

from despina.scheduling.run_time_model import RunTimeModel


def taught(*runs: tuple[int, int]) -> RunTimeModel:
    model = RunTimeModel()
    for rows, taken_ns in runs:
        model.observe(None, rows, taken_ns)
    return model


def test_nothing_is_known_before_enough_was_seen() -> None:
    assert taught((1, 100), (2, 120), (4, 160)).mean_ns(None, 8) == 0


@pytest.mark.parametrize(("rows", "expected"), [(1, 120), (8, 260), (64, 1380)])
def test_a_line_is_found_and_extended(rows: int, expected: int) -> None:
    model = taught(*[(rows, 100 + 20 * rows) for rows in (1, 2, 4, 8, 3, 5, 16, 1, 2) for _ in range(20)])
    assert model.mean_ns(None, rows) == pytest.approx(expected, rel=0.02)


def test_batches_of_one_size_say_nothing_of_a_slope() -> None:
    model = taught(*[(4, 100)] * 10)
    assert (model.mean_ns(None, 1), model.mean_ns(None, 4), model.mean_ns(None, 8)) == pytest.approx(
        (100, 100, 200), abs=1
    )


def test_how_far_batches_are_off_their_mean_is_known() -> None:
    assert taught(*[(4, 100)] * 3).deviation_ns(None) == 0
    assert taught(*[(4, 100)] * 50).deviation_ns(None) == pytest.approx(0, abs=1)
    assert taught(*[(4, 50 + 100 * (number % 2)) for number in range(50)]).deviation_ns(None) == pytest.approx(50, 0.1)


def test_a_slower_machine_is_noticed() -> None:
    model = taught(*[(rows, 10 * rows) for rows in (1, 2, 4, 8) for _ in range(20)])
    for _ in range(40):
        for rows in (1, 2, 4, 8):
            model.observe(None, rows, 30 * rows)
    assert model.mean_ns(None, 8) == pytest.approx(240, rel=0.15)


def test_shapes_are_learned_apart() -> None:
    model = taught(*[(1, 100)] * 5)
    for _ in range(5):
        model.observe("long", 1, 900)
    assert model.mean_ns(None, 1) == pytest.approx(100, abs=1)
    assert model.mean_ns("long", 1) == pytest.approx(900, abs=1)


def test_many_shapes_do_not_fill_the_memory() -> None:
    model = RunTimeModel()
    for shape in range(10_000):
        model.observe(shape, 1, 100)
    assert len(model._lines) == RunTimeModel.MAX_SHAPES


@pytest.mark.parametrize(("limit", "largest"), [(50, 1), (300, 10), (100_000, 32)])
def test_the_largest_batch_within_a_limit(limit: int, largest: int) -> None:
    model = taught(*[(rows, 100 + 20 * rows) for rows in (1, 2, 4, 8, 16) for _ in range(20)])
    assert model.largest_batch(None, 64, limit) == largest


def test_sizes_never_tried_are_approached_by_doubling() -> None:
    model = RunTimeModel()
    tried = []
    for _ in range(6):
        rows = model.largest_batch(None, 16, 1_000)
        tried.append(rows)
        model.observe(None, rows, 10)
    assert tried == [1, 2, 4, 8, 16, 16]


def test_batches_do_not_get_smaller_because_their_times_vary() -> None:
    model = taught(*[(rows, 100 + 20 * rows + 200 * (number % 2)) for number in range(40) for rows in (1, 2, 4, 8, 16)])
    assert model.largest_batch(None, 64, 500) == pytest.approx(15, abs=1)
