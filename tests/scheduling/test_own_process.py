import logging
from queue import SimpleQueue
from threading import Thread

import numpy as np
import pytest

from despina.scheduling.outcome import Outcome
from despina.scheduling.own_process import OwnProcess
from despina_backends.base import Batch, Execution

BATCH = Batch({}, 1)
RUNS = OwnProcess.BUSY_RUNS


class Clock:
    """Turned by hand; what threads hand over is taken when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1
        self.watched = {}
        self.watch = self.watched.__setitem__
        self.unwatch = self.watched.pop
        self._handed = SimpleQueue()

    def call_at(self, when_ns: int, callback) -> None:
        """Nothing here takes that long."""

    def now_ns(self) -> int:
        return self.now

    def call_threadsafe(self, callback) -> None:
        self._handed.put(callback)

    def wait(self) -> None:
        self._handed.get(timeout=5)()


class Process:
    pid = 4711
    answers = 3

    def __init__(self) -> None:
        self.alive = True
        self.closed = False
        self.reaped = SimpleQueue()

    def send(self, batch) -> None:
        if not self.alive:
            raise BrokenPipeError

    def receive(self):
        if not self.alive:
            raise EOFError
        return 0, Execution({"OUT": np.zeros(1)}, 0, 0)

    def close(self) -> None:
        self.closed = True

    def reap(self) -> None:
        self.reaped.put(True)


class Offer:
    def __init__(self) -> None:
        self.room = 1
        self.process = Process()
        self.error = None
        self.returned = SimpleQueue()

    def take(self) -> bool:
        self.room -= 1
        return self.room >= 0

    def start(self) -> Process:
        if self.error is not None:
            raise self.error
        return self.process

    def give_back(self) -> None:
        self.returned.put(True)


class Stage:
    def __init__(self) -> None:
        self.clock = Clock()
        self.offer = Offer()
        self.instead = []
        self.own = OwnProcess("m_0", self.offer, self.clock, lambda *run: self.instead.append(run))

    def busy(self, runs: int = RUNS, run_ns: int = 1000) -> None:
        for _ in range(runs):
            self.own.count_short_run(run_ns)

    def start(self) -> None:
        self.busy()
        self.clock.wait()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_an_instance_that_is_busy_with_short_batches_gets_a_process(stage) -> None:
    stage.busy(RUNS - 1)
    assert stage.offer.room == 1
    stage.busy(1)
    stage.clock.wait()
    assert stage.own.ready
    outcomes: list[Outcome] = []
    stage.own.run(BATCH, outcomes.append)
    stage.clock.watched[3]()
    assert outcomes[0].execution is not None


def test_longer_batches_count_more_than_once(stage) -> None:
    stage.busy(RUNS // 3, 2 * OwnProcess.UNIT_NS)
    assert stage.offer.room == 1
    stage.busy(1, 2 * OwnProcess.UNIT_NS)
    assert stage.offer.room == 0


def test_the_same_number_of_batches_in_a_longer_time_is_not_busy(stage) -> None:
    for _ in range(3 * RUNS):
        stage.own.count_short_run(1000)
        stage.clock.now += OwnProcess.BUSY_NS // (RUNS // 2)
    assert stage.offer.room == 1


def test_without_room_it_is_asked_for_again_later(stage) -> None:
    stage.offer.room = 0
    stage.busy(2 * RUNS)
    assert stage.offer.room == -1
    stage.offer.room = 1
    stage.clock.now += 2 * OwnProcess.BUSY_NS
    stage.start()
    assert stage.own.ready


def test_one_that_cannot_be_started_is_not_tried_again(stage, caplog) -> None:
    stage.offer.error = OSError("no memory")
    stage.busy()
    assert stage.offer.returned.get(timeout=5)
    stage.offer.room = 1
    stage.clock.now += 2 * OwnProcess.BUSY_NS
    stage.busy()
    assert not stage.own.ready
    assert "instance 'm_0' gets no process of its own: no memory" in caplog.messages


def test_when_the_process_is_gone_its_batches_run_instead_and_its_room_is_given_back(stage, caplog) -> None:
    stage.start()
    stage.own.run(BATCH, print)
    stage.offer.process.alive = False
    stage.clock.watched[3]()
    assert stage.instead == [(BATCH, print)]
    assert not stage.own.ready
    assert stage.offer.returned.get(timeout=5)
    assert stage.offer.process.reaped.get(timeout=5)
    assert "the process of instance 'm_0' is gone; a thread runs its batches again" in caplog.messages


def no_thread(thread: Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_without_a_thread_there_is_no_process_and_its_room_is_given_back(stage, caplog, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", no_thread)
        stage.busy()
    assert stage.offer.returned.get(timeout=5)
    assert caplog.messages == ["instance 'm_0': no thread to start its process: can't start new thread"]
    stage.own.close()


def test_without_a_thread_batches_run_instead_all_the_same_and_closing_buries_the_process(stage, monkeypatch) -> None:
    stage.start()
    stage.own.run(BATCH, print)
    stage.offer.process.alive = False
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", no_thread)
        stage.clock.watched[3]()
    assert stage.instead == [(BATCH, print)]
    stage.own.close()
    assert stage.offer.process.reaped.get(timeout=5)
    assert stage.offer.returned.get(timeout=5)


def test_closing_ends_the_process_and_gives_its_room_back(stage, caplog) -> None:
    caplog.set_level(logging.INFO)
    stage.start()
    stage.own.close()
    stage.clock.wait()
    assert stage.offer.process.closed
    assert stage.offer.process.reaped.get(timeout=5)
    assert stage.offer.returned.get(timeout=5)
    assert "instance 'm_0': its batches are short, process 4711 runs them from now on" in caplog.messages


def test_closing_without_a_process_is_nothing(stage) -> None:
    stage.own.close()
    assert stage.offer.returned.empty()


def test_closing_while_it_starts_waits_and_ends_it(stage) -> None:
    stage.busy()
    stage.own.close()
    stage.clock.wait()  # it has started
    stage.clock.wait()  # it is closed
    assert stage.offer.process.closed


def test_one_that_is_lost_in_the_moment_it_is_closed_is_counted_once(stage) -> None:
    stage.start()

    def lose(close) -> None:
        stage.offer.process.alive = False
        stage.clock.watched[3]()

    stage.clock.call_threadsafe = lose
    stage.own.close()
    stage.own.close()  # waits for the thread that was started in between
    assert stage.offer.returned.get(timeout=5)
    assert stage.offer.returned.empty()
    assert stage.offer.process.reaped.qsize() == 1
