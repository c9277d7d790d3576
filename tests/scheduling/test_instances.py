from sys import maxsize

import pytest

from despina.scheduling.instances import Instances


class Runner:
    def __init__(self, overlaps: bool = False) -> None:
        self.overlaps = overlaps


def instances(*overlaps: bool, early: bool = True) -> tuple[Instances, list[Runner]]:
    """Instances that have all run once, which is when their processes are noticed."""
    runners = [Runner(each) for each in overlaps]
    made = Instances(runners, early)
    for runner in runners:
        made.started(runner, 4)
    for runner in runners:
        made.finished(runner)
    return made, runners


def test_without_processes_an_instance_takes_a_batch_when_it_is_idle() -> None:
    made, (runner,) = instances(False)
    assert made.next(1) is runner
    made.started(runner, 1)
    assert made.next(100) is None
    assert made.enough == maxsize


def test_a_second_batch_goes_to_a_process_when_it_is_as_large_as_the_first() -> None:
    made, (runner,) = instances(True)
    made.started(runner, 8)
    assert made.next(7) is None
    assert made.next(8) is runner
    made.started(runner, 8)
    assert made.next(100) is None
    made.finished(runner)
    assert made.next(8) is runner


def test_no_batch_is_handed_over_early_where_that_is_not_allowed() -> None:
    made, (runner,) = instances(True, early=False)
    made.started(runner, 1)
    assert made.next(100) is None
    assert made.enough == maxsize


def test_an_idle_process_comes_before_a_second_place() -> None:
    made, (first, second) = instances(True, True)
    made.started(first, 1)
    assert made.next(100) is second


def test_an_instance_without_a_process_waits_until_the_others_have_all_they_can_take() -> None:
    made, (plain, process) = instances(False, True)
    made.started(process, 4)
    assert made.next(3) is None
    made.started(process, 4)
    assert made.next(3) is plain


@pytest.mark.parametrize(
    ("batches", "running", "enough"),
    [
        ((8, 8), 0, 11),
        ((1, 15), 0, 11),
        ((1, 1), 0, 2),
        ((8, 8), 1, 11),
        ((4, 14), 1, 14),
        ((8, 8), 2, maxsize),
    ],
    ids=[
        "a third more than usual",
        "one large one small",
        "one alone waits for the turn",
        "beside a batch",
        "more run",
        "no place",
    ],
)
def test_what_is_enough(batches: tuple[int, int], running: int, enough: int) -> None:
    made, (runner,) = instances(True)
    for batch in batches:
        made.started(runner, batch)
    for _ in range(2 - running):
        made.finished(runner)
    assert made.enough == enough


def test_busy_until_the_last_batch_has_run() -> None:
    made, (runner,) = instances(True)
    made.started(runner, 1)
    made.started(runner, 1)
    made.finished(runner)
    assert made.busy
    made.finished(runner)
    assert not made.busy


def test_a_process_that_is_gone_takes_no_second_batch() -> None:
    made, (runner,) = instances(True)
    runner.overlaps = False
    made.started(runner, 1)
    assert made.next(100) is None
