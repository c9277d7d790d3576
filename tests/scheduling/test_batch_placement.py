import pytest

from despina.scheduling.batch_placement import BatchPlacement, Return
from despina.scheduling.outcome import Outcome
from despina.scheduling.run_times import LEARN_RUNS
from despina_backends.base import Execution

US = 1_000
LIMIT_US = 200


def ran(time_us: float) -> Outcome:
    end_ns = int(time_us * US)
    return Outcome(0, Execution({}, end_ns, end_ns))


class Instance:
    """Runs batches where the placement wants them. `hand_over` leaves one under way."""

    def __init__(self, limit_us: int = LIMIT_US) -> None:
        self.placement = BatchPlacement(limit_us * US)
        self.has_process = False

    def runs_on_loop(self, time_us: float, size: int = 1, times: int = 1) -> list[bool]:
        return [self._run(time_us, size) for _ in range(times)]

    def _run(self, time_us: float, size: int) -> bool:
        on_loop = self.placement.on_loop(size, self.has_process)
        if on_loop:
            self.placement.ran_on_loop(size, ran(time_us))
        else:
            self.placement.handed_over(size)
            self.placement.came_back(size, ran(time_us))
        return on_loop

    def hand_over(self, size: int) -> None:
        assert not self.placement.on_loop(size, self.has_process)
        self.placement.handed_over(size)


@pytest.fixture
def instance() -> Instance:
    return Instance()


def test_short_batches_run_on_the_loop_once_their_time_is_known(instance: Instance) -> None:
    assert instance.runs_on_loop(50, times=LEARN_RUNS + 2) == [False] * LEARN_RUNS + [True] * 2


def test_without_a_limit_none_does() -> None:
    assert not any(Instance(limit_us=0).runs_on_loop(50, times=3 * LEARN_RUNS))


@pytest.mark.parametrize(("over_us", "tried"), [(-1, True), (1, False)])
def test_what_takes_up_to_twice_the_limit_elsewhere_is_tried(instance: Instance, over_us: int, tried: bool) -> None:
    elsewhere_us = BatchPlacement.TRIED * LIMIT_US + over_us
    assert instance.runs_on_loop(elsewhere_us, times=LEARN_RUNS + 1)[-1] is tried


def test_nothing_runs_on_the_loop_while_another_batch_is_under_way(instance: Instance) -> None:
    instance.runs_on_loop(50, times=LEARN_RUNS)
    instance.hand_over(size=64)
    assert not instance.placement.on_loop(1, has_process=False)
    instance.placement.came_back(64, ran(1000))
    assert instance.placement.on_loop(1, has_process=False)


def test_batches_come_back_from_a_process_when_many_in_a_row_are_short_enough(instance: Instance) -> None:
    instance.runs_on_loop(50, size=1, times=LEARN_RUNS)
    instance.runs_on_loop(600, size=16, times=LEARN_RUNS)
    instance.has_process = True
    instance.runs_on_loop(600, size=16)
    assert not instance.placement.suits_loop
    assert instance.runs_on_loop(50, times=Return.LEAST + 1) == [False] * (Return.LEAST - 1) + [True] * 2
    assert instance.placement.suits_loop


def test_who_does_not_stay_on_the_loop_needs_twice_as_many_the_next_time() -> None:
    coming_back = Return()
    assert [coming_back.allows(True) for _ in range(Return.LEAST)] == [False] * (Return.LEAST - 1) + [True]
    assert not coming_back.allows(False)
    assert [coming_back.allows(True) for _ in range(2 * Return.LEAST)] == [False] * (2 * Return.LEAST - 1) + [True]


@pytest.mark.parametrize(("time_us", "reason_us"), [(1000, 1000), (5000, 5000), (5001, 0)])
def test_only_batches_that_are_not_long_are_a_reason_for_a_process(
    instance: Instance, time_us: int, reason_us: int
) -> None:
    assert instance.placement.reason_for_process_ns(1) == 0
    instance.runs_on_loop(time_us, times=LEARN_RUNS)
    assert instance.placement.reason_for_process_ns(1) == reason_us * US
