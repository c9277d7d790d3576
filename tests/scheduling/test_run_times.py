from despina.scheduling.outcome import Outcome
from despina.scheduling.run_times import DOUBTS, LEARN_RUNS, MOST_DOUBTS, SLOW_RUNS, RunTimes
from despina_backends.base import Execution


def observe(times: RunTimes, size: int, *taken_ns: int, on_loop: bool = False) -> None:
    for taken in taken_ns:
        times.observe(size, Outcome(0, Execution({}, 0, taken)), on_loop)


def test_a_time_is_known_after_some_runs() -> None:
    times = RunTimes()
    observe(times, 3, *[100] * (LEARN_RUNS - 1))
    assert times.expected_ns(3) == 0
    observe(times, 3, 100)
    assert times.expected_ns(3) == 100
    assert not times.known_on_loop(3)


def test_failed_runs_teach_nothing() -> None:
    times = RunTimes()
    for _ in range(LEARN_RUNS):
        times.observe(1, Outcome(0))
    assert times.expected_ns(1) == 0


def test_sizes_up_to_8_have_times_of_their_own_and_larger_ones_share_them() -> None:
    times = RunTimes()
    for size in (7, 8, 9, 12, 16, 24, 32):
        observe(times, size, *[size] * LEARN_RUNS)
    sizes = (7, 8, 9, 11, 12, 15, 16, 23, 24, 31, 32, 47)
    assert [times.expected_ns(size) for size in sizes] == [7, 8, 9, 9, 12, 12, 16, 16, 24, 24, 32, 32]


def test_a_size_that_was_seldom_seen_takes_no_longer_than_the_next() -> None:
    times = RunTimes()
    observe(times, 4, *[400] * LEARN_RUNS)
    observe(times, 16, *[1600] * LEARN_RUNS)
    assert times.expected_ns(3) == 400
    assert times.expected_ns(5) == 1600
    assert times.expected_ns(64) == 0


def test_no_larger_size_can_be_shorter() -> None:
    times = RunTimes()
    assert times.shortest_from_ns(4) == 0
    observe(times, 4, *[400] * LEARN_RUNS)
    observe(times, 5, *[100] * (LEARN_RUNS - 1))
    observe(times, 8, *[300] * LEARN_RUNS)
    observe(times, 16, *[700] * LEARN_RUNS)
    assert [times.shortest_from_ns(size) for size in (1, 4, 8, 9, 16, 64)] == [300, 300, 300, 700, 700, 0]


def test_the_shortest_of_the_first_runs_on_the_loop_counts() -> None:
    times = RunTimes()
    observe(times, 2, *[200] * LEARN_RUNS)
    observe(times, 2, 400, 70, *[90] * (LEARN_RUNS - 2), on_loop=True)
    assert times.known_on_loop(2)
    assert times.expected_ns(2) == 70


def test_what_is_known_on_the_loop_is_not_raised_by_runs_elsewhere() -> None:
    times = RunTimes()
    observe(times, 2, *[70] * LEARN_RUNS, on_loop=True)
    observe(times, 2, *[300] * 100)
    assert times.expected_ns(2) == 70
    observe(times, 2, *[30] * 100)
    assert 30 <= times.expected_ns(2) < 35


def test_a_run_that_was_disturbed_hardly_counts() -> None:
    times = RunTimes()
    observe(times, 2, *[100] * LEARN_RUNS, on_loop=True)
    observe(times, 2, 10_000, on_loop=True)
    observe(times, 2, *[100, 10_000] * 100, on_loop=True)
    assert times.expected_ns(2) < 105


def test_a_while_in_which_everything_takes_twice_as_long_is_waited_out() -> None:
    times = RunTimes()
    observe(times, 2, *[100] * LEARN_RUNS, on_loop=True)
    observe(times, 2, *[200] * 250, on_loop=True)
    assert times.expected_ns(2) < 150
    observe(times, 2, *[200] * 5000, on_loop=True)
    assert times.expected_ns(2) == 199


def test_a_model_that_has_become_slow_is_known_after_a_few_runs() -> None:
    times = RunTimes()
    observe(times, 2, *[70] * LEARN_RUNS, on_loop=True)
    observe(times, 2, *[1000] * (SLOW_RUNS - 1), on_loop=True)
    assert times.expected_ns(2) < 80
    observe(times, 2, 1000, on_loop=True)
    assert times.expected_ns(2) > 500


def test_what_keeps_batches_off_the_loop_is_doubted_in_the_end() -> None:
    times = RunTimes()
    observe(times, 2, *[900] * LEARN_RUNS, on_loop=True)
    assert doubts_until_forgotten(times, 2) == DOUBTS
    assert times.expected_ns(2) == 900
    observe(times, 2, *[80] * LEARN_RUNS, on_loop=True)
    assert times.expected_ns(2) == 80


def test_each_time_that_a_doubt_was_in_vain_the_next_takes_longer() -> None:
    times = RunTimes()
    taken: list[int] = []
    for _ in range(8):
        observe(times, 2, *[900] * LEARN_RUNS, on_loop=True)
        taken.append(doubts_until_forgotten(times, 2))
    first, most = DOUBTS, MOST_DOUBTS
    assert taken == [first, 2 * first, 4 * first, 8 * first, 16 * first, 32 * first, most, most]
    observe(times, 2, *[80] * (LEARN_RUNS + 1), on_loop=True)
    assert doubts_until_forgotten(times, 2) == first


def doubts_until_forgotten(times: RunTimes, size: int) -> int:
    doubts = 0
    while times.known_on_loop(size):
        times.doubt(size)
        doubts += 1
    return doubts
