import struct
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from despina.scheduling.outcome import Outcome
from despina.scheduling.process_runs import BEAT_NS, BEATS, ProcessRuns
from despina_backends.base import Batch, Execution

FAILED = "failed"


class ProcessClock:
    """The clock's parts that watch file descriptors and count beats."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []
        self.watched: dict[int, Callable[[], None]] = {}
        self.watch = self.watched.__setitem__
        self.unwatch = self.watched.pop

    def now_ns(self) -> int:
        return 0

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> None:
        assert when_ns == BEAT_NS
        self.due.append(callback)

    def beat(self, times: int) -> None:
        for _ in range(times):
            due, self.due = self.due, []
            for callback in due:
                callback()


class Process:
    """Answers when told to."""

    pid = 1
    answers = 7

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.ran: deque[Execution | str | None] = deque()
        self.error: Exception | None = None
        self.closed = False
        self.worked = 0

    def worked_ns(self) -> int:
        return self.worked

    def send(self, batch: Batch) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(batch)

    def receive(self) -> tuple[int, Execution | None]:
        if not self.ran:
            raise EOFError
        answer = self.ran.popleft()
        return 5, None if answer is FAILED else answer

    def close(self) -> None:
        self.closed = True


class Stage:
    def __init__(self) -> None:
        self.clock = ProcessClock()
        self.process = Process()
        self.instead: list[tuple[Batch, object]] = []
        self.outcomes: list[Outcome] = []
        self.lost = 0
        self.runs = ProcessRuns(self.process, self.clock, lambda *run: self.instead.append(run), self._lost)

    def _lost(self) -> None:
        self.lost += 1

    def run(self) -> Batch:
        batch = Batch({}, 1)
        self.runs.run(batch, self.outcomes.append)
        return batch

    def answer(self, *answers: Execution | str) -> None:
        self.process.ran += answers
        for _ in answers or (0,):
            self.clock.watched[7]()


def execution(value: int) -> Execution:
    return Execution({"OUT": np.array([value])}, 1, 2)


def test_answers_belong_to_the_batches_in_order() -> None:
    stage = Stage()
    stage.run()
    stage.run()
    first, second = execution(1), execution(2)
    stage.answer(first, second)
    assert stage.outcomes == [Outcome(5, first), Outcome(5, second)]


def test_a_failed_batch_runs_instead_and_the_next_one_is_answered() -> None:
    stage = Stage()
    failed = stage.run()
    stage.run()
    stage.answer(FAILED, execution(2))
    assert [batch for batch, _ in stage.instead] == [failed]
    assert len(stage.outcomes) == 1


def test_what_a_lost_process_had_to_run_runs_instead_in_order() -> None:
    stage = Stage()
    batches = [stage.run(), stage.run()]
    stage.answer()
    assert [batch for batch, _ in stage.instead] == batches
    assert (stage.lost, stage.process.closed, stage.clock.watched) == (1, True, {})


def test_a_process_that_is_gone_is_noticed_by_the_next_batch() -> None:
    stage = Stage()
    first = stage.run()
    stage.process.error = BrokenPipeError()
    second = stage.run()
    assert [batch for batch, _ in stage.instead] == [first, second]
    assert stage.lost == 1


@pytest.mark.parametrize("error", [TypeError(), struct.error()])
def test_a_batch_that_does_not_fit_runs_instead_and_the_process_stays(error: Exception) -> None:
    stage = Stage()
    stage.process.error = error
    batch = stage.run()
    assert [each for each, _ in stage.instead] == [batch]
    assert not stage.lost


def test_a_process_that_stands_still_is_given_up_and_what_it_had_to_run_runs_instead() -> None:
    stage = Stage()
    batches = [stage.run(), stage.run()]
    stage.clock.beat(BEATS - 1)
    assert not stage.lost
    stage.clock.beat(1)
    assert [batch for batch, _ in stage.instead] == batches
    assert (stage.lost, stage.process.closed, stage.clock.watched) == (1, True, {})


def test_a_process_that_works_may_take_as_long_as_it_likes() -> None:
    stage = Stage()
    stage.run()
    for _ in range(3 * BEATS):
        stage.process.worked += 1
        stage.clock.beat(1)
    stage.answer(execution(1))
    assert len(stage.outcomes) == 1
    assert not stage.lost


def test_a_process_that_answers_works_even_where_its_processor_time_cannot_be_read() -> None:
    stage = Stage()
    stage.run()
    for _ in range(3 * BEATS):
        stage.run()
        stage.answer(execution(1))
        stage.clock.beat(1)
    assert not stage.lost


def test_nobody_looks_at_a_process_that_has_nothing_to_do() -> None:
    stage = Stage()
    stage.run()
    stage.answer(execution(1))
    stage.clock.beat(1)
    assert not stage.clock.due
    stage.run()
    stage.clock.beat(BEATS - 1)
    assert not stage.lost


def test_closing_twice_is_closing_once() -> None:
    stage = Stage()
    stage.runs.close()
    stage.runs.close()
    assert stage.process.closed
