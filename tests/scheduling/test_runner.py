import threading
from queue import SimpleQueue
from time import monotonic_ns

import numpy as np
import pytest

from despina.scheduling.batch_placement import BatchPlacement, Return
from despina.scheduling.instance_thread import InstanceThread, OnThread
from despina.scheduling.outcome import Outcome
from despina.scheduling.own_process import OwnProcess
from despina.scheduling.run_times import LEARN_RUNS, SLOW_RUNS
from despina.scheduling.runner import InstanceRunner
from despina_backends.base import BackendError, Batch, Execution

US = 1_000


class Instance:
    """Takes `time_us` by its own account, notes on which thread it ran."""

    def __init__(self) -> None:
        self.time_us = 50
        self.threads: list[int] = []
        self.error: BaseException | None = None
        self.closed = False

    def execute(self, batch: Batch) -> Execution:
        self.threads.append(threading.get_ident())
        if self.error is not None:
            raise self.error
        end = monotonic_ns() + self.time_us * US
        return Execution({"OUT": np.zeros(1)}, end, end)

    def close(self) -> None:
        self.closed = True


class ThreadClock:
    """What other threads hand over, taken when somebody waits for it."""

    def __init__(self) -> None:
        self._handed = SimpleQueue()
        self.call_threadsafe = self._handed.put
        self.watched = {}
        self.watch = self.watched.__setitem__
        self.unwatch = self.watched.pop
        self.now_ns = lambda: 1

    def call_at(self, when_ns: int, callback) -> None:
        """Nothing here takes that long."""

    def wait(self) -> None:
        self._handed.get(timeout=5)()


BATCH = Batch({}, 1)
HERE = threading.get_ident


class Process:
    """Runs at once, by its own account for as long as the instance would, and answers when asked."""

    pid = 1
    answers = 3

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.sent: list[Batch] = []
        self.answered = 0

    def send(self, batch: Batch) -> None:
        self.sent.append(batch)

    def receive(self) -> tuple[int, Execution]:
        self.answered += 1
        start = monotonic_ns()
        end = start + self._instance.time_us * US
        return start, Execution({"OUT": np.zeros(1)}, start, end)

    def close(self) -> None: ...

    def reap(self) -> None: ...


class Offer:
    def __init__(self, instance: Instance) -> None:
        self.process = Process(instance)
        self.started = 0

    def take(self) -> bool:
        self.started += 1
        return True

    def start(self) -> Process:
        return self.process

    def give_back(self) -> None: ...


class Driver:
    def __init__(self, steady: bool = True, limit_us: int = 200, offers: bool = False) -> None:
        self.instance = Instance()
        self.clock = ThreadClock()
        self.offer = Offer(self.instance)
        offer = self.offer if offers else None
        self.runner = InstanceRunner("x_0", self.instance, self.clock, steady, limit_us * US, offer)
        self.outcomes: list[Outcome] = []

    def run(self, size: int = 1, times: int = 1) -> Outcome:
        for _ in range(times):
            before = len(self.outcomes)
            self.runner.run(BATCH, size, self.outcomes.append)
            while len(self.outcomes) == before:
                self.wait()
        return self.outcomes[-1]

    def wait(self) -> None:
        if len(self.offer.process.sent) > self.offer.process.answered:
            self.clock.watched[3]()
        else:
            self.clock.wait()

    def get_process(self, size: int = 1) -> None:
        """Be so busy with batches of a size that the instance gets its process."""
        self.run(size, LEARN_RUNS + OwnProcess.BUSY_RUNS)
        while not self.runner.overlaps:
            self.clock.wait()

    @property
    def ran_here(self) -> bool:
        return self.instance.threads[-1] == HERE()


@pytest.fixture
def make_driver():
    made: list[Driver] = []

    def make(**options: object) -> Driver:
        made.append(Driver(**options))
        return made[-1]

    yield make
    for driver in made:
        driver.runner.close()


def test_a_short_model_runs_on_the_loop_once_its_time_is_known(make_driver) -> None:
    driver = make_driver()
    driver.run(times=LEARN_RUNS)
    assert HERE() not in driver.instance.threads
    driver.run()
    assert driver.ran_here


@pytest.mark.parametrize(
    ("driver", "time_us"),
    [({"steady": False}, None), ({}, BatchPlacement.TRIED * 200 + 1), ({"limit_us": 0}, None)],
    ids=["whose time depends on values", "that is long", "with a limit of 0"],
)
def test_a_model_never_runs_on_the_loop(make_driver, driver, time_us) -> None:
    driver = make_driver(**driver)
    if time_us:
        driver.instance.time_us = time_us
    driver.run(times=3 * LEARN_RUNS)
    assert HERE() not in driver.instance.threads


def test_a_size_that_was_not_seen_yet_runs_on_the_thread(make_driver) -> None:
    driver = make_driver()
    driver.run(times=LEARN_RUNS)
    driver.run(size=64)
    assert not driver.ran_here
    driver.run(size=1)
    assert driver.ran_here


def test_a_model_that_became_slow_goes_back_to_the_thread_after_a_few_long_runs(make_driver) -> None:
    driver = make_driver()
    driver.run(times=LEARN_RUNS + 1)
    driver.instance.time_us = 1000
    for _ in range(SLOW_RUNS):
        driver.run()
        assert driver.ran_here
    driver.run()
    assert not driver.ran_here


def test_all_runs_off_the_loop_share_one_thread_per_instance(make_driver) -> None:
    driver = make_driver(steady=False)
    driver.run(times=5)
    assert len(set(driver.instance.threads)) == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [("INTERNAL", 500), ("INVALID_ARG", 400), ("NOT_FOUND", 404), ("UNAVAILABLE", 503), ("UNSUPPORTED", 501)],
)
def test_an_error_of_the_backend_keeps_its_code_and_text(make_driver, code, status) -> None:
    driver = make_driver()
    driver.instance.error = BackendError("onnx runtime error 6: no", code)
    error = driver.run().error
    assert (error.status, error.message) == (status, "onnx runtime error 6: no")


def test_an_unforeseen_error_names_the_instance_and_is_logged(make_driver, caplog) -> None:
    driver = make_driver()
    driver.instance.error = ZeroDivisionError("by zero")
    assert driver.run().error.message == "execution on instance 'x_0' failed: by zero"
    assert "x_0" in caplog.text


def test_a_backend_that_wants_to_exit_fails_its_batch_only(make_driver) -> None:
    driver = make_driver()
    driver.instance.error = SystemExit(1)
    assert driver.run().error.message == "execution on instance 'x_0' failed: 1"
    driver.instance.error = None
    assert driver.run().execution is not None


@pytest.mark.parametrize(("made", "kind"), [(None, "NoneType"), ({"OUT": 1}, "dict")])
def test_what_is_no_execution_is_an_error(make_driver, made, kind) -> None:
    driver = make_driver()
    driver.instance.execute = lambda batch: made
    expected = f"execution on instance 'x_0' failed: expected an Execution of its backend, got {kind}"
    assert driver.run().error.message == expected


def test_an_instance_stays_usable_after_an_error(make_driver) -> None:
    driver = make_driver()
    driver.instance.error = ZeroDivisionError()
    driver.run()
    driver.instance.error = None
    assert driver.run().execution is not None


def test_without_a_thread_a_batch_fails_and_the_next_one_tries_again(make_driver, monkeypatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    driver = make_driver()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        error = driver.run().error
    assert (error.status, error.message) == (
        503,
        "instance 'x_0' has no thread to run on: can't start new thread. Try again later.",
    )
    assert driver.run().execution is not None


def test_close_ends_the_thread_and_frees_the_instance() -> None:
    driver = Driver()
    driver.run()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "despina-x_0"]
    driver.runner.close()
    assert not thread.is_alive()
    assert driver.instance.closed


def test_an_instance_that_has_a_thread_already_runs_on_it() -> None:
    thread = InstanceThread("despina-warm")
    warm = Instance()
    OnThread(warm, thread).execute(BATCH)
    clock, instance, outcomes = ThreadClock(), Instance(), list[Outcome]()
    runner = InstanceRunner("warm", instance, clock, False, 0, thread=thread)
    runner.run(BATCH, 1, outcomes.append)
    clock.wait()
    assert outcomes[0].execution is not None
    assert instance.threads == warm.threads
    runner.close()
    assert "despina-warm" not in {thread.name for thread in threading.enumerate()}
    assert instance.closed


def test_a_thread_that_only_warmed_up_ends_with_the_instance() -> None:
    thread = InstanceThread("despina-warm")
    OnThread(Instance(), thread).execute(BATCH)
    InstanceRunner("warm", Instance(), ThreadClock(), False, 0, thread=thread).close()
    assert "despina-warm" not in {thread.name for thread in threading.enumerate()}


def test_an_instance_that_never_ran_has_no_thread() -> None:
    before = threading.active_count()
    driver = Driver()
    assert threading.active_count() == before
    driver.runner.close()
    assert driver.instance.closed


def test_an_instance_busy_with_short_batches_runs_them_in_a_process(make_driver) -> None:
    driver = make_driver(limit_us=0, offers=True)
    driver.get_process()
    driver.run(times=3)
    assert len(driver.offer.process.sent) == 3


def test_long_batches_are_no_reason_for_a_process(make_driver) -> None:
    driver = make_driver(offers=True)
    driver.instance.time_us = BatchPlacement.PROCESS_UP_TO_NS // US + 100
    driver.run(times=3 * OwnProcess.BUSY_RUNS)
    assert not driver.offer.started


def test_a_model_whose_time_depends_on_values_gets_no_process(make_driver) -> None:
    driver = make_driver(steady=False, offers=True)
    driver.run(times=3 * OwnProcess.BUSY_RUNS)
    assert not driver.offer.started


def test_batches_that_run_on_the_loop_are_no_reason_for_a_process(make_driver) -> None:
    driver = make_driver(offers=True)
    driver.run(times=3 * OwnProcess.BUSY_RUNS)
    assert not driver.offer.started


def test_with_a_process_a_small_batch_among_larger_ones_does_not_run_on_the_loop(make_driver) -> None:
    driver = make_driver(limit_us=100, offers=True)
    driver.run(size=1, times=LEARN_RUNS)
    driver.instance.time_us = 300
    driver.get_process(size=16)
    driver.instance.time_us = 50
    driver.run(size=16)
    sent = len(driver.offer.process.sent)
    driver.run(size=1)
    assert len(driver.offer.process.sent) == sent + 1
    assert not driver.ran_here
    driver.run(size=1, times=Return.LEAST)
    assert driver.ran_here


def test_nothing_runs_on_the_loop_beside_a_batch_that_is_under_way(make_driver) -> None:
    driver = make_driver(limit_us=100, offers=True)
    driver.run(size=1, times=LEARN_RUNS)
    driver.instance.time_us = 300
    driver.get_process(size=16)
    driver.instance.time_us = 50
    driver.run(size=1, times=Return.LEAST)
    assert driver.ran_here
    driver.runner.run(BATCH, 16, driver.outcomes.append)
    driver.runner.run(BATCH, 1, driver.outcomes.append)
    driver.runner.run(BATCH, 1, driver.outcomes.append)
    assert len(driver.offer.process.sent) - driver.offer.process.answered == 3
    for _ in range(3):
        driver.wait()


def test_what_runs_on_the_loop_in_time_is_no_longer_handed_over_early(make_driver) -> None:
    driver = make_driver(limit_us=100, offers=True)
    driver.instance.time_us = 300
    driver.get_process(size=16)
    assert driver.runner.overlaps
    driver.instance.time_us = 50
    driver.run(size=1, times=LEARN_RUNS + Return.LEAST)
    assert not driver.runner.overlaps
    driver.run(size=1)
    assert driver.ran_here


def test_two_batches_that_run_at_the_same_time_count_as_one(make_driver) -> None:
    driver = make_driver(limit_us=100, offers=True)
    driver.instance.time_us = 300
    driver.get_process(size=16)
    driver.run(size=8, times=LEARN_RUNS)
    driver.instance.time_us = 50
    for _ in range(2 * Return.LEAST):
        driver.runner.run(BATCH, 8, driver.outcomes.append)
        driver.runner.run(BATCH, 8, driver.outcomes.append)
        driver.wait()
        driver.wait()
    assert driver.runner.overlaps


def test_from_a_process_batches_come_back_only_when_they_are_well_below_the_limit(make_driver) -> None:
    driver = make_driver(limit_us=100, offers=True)
    driver.instance.time_us = 300
    driver.get_process(size=16)
    driver.instance.time_us = 90
    driver.run(size=1, times=LEARN_RUNS + Return.LEAST + LEARN_RUNS)  # not known on the loop: tried there
    assert driver.ran_here
    driver.run(size=16)
    sent = len(driver.offer.process.sent)
    driver.run(size=1, times=3 * Return.LEAST)
    assert len(driver.offer.process.sent) == sent + 3 * Return.LEAST


def test_batches_that_come_back_and_do_not_stay_take_longer_to_come_back_again() -> None:
    returning = Return()

    def shorts_needed() -> int:
        returning.allows(False)
        return next(count for count in range(1, 10_000) if returning.allows(True))

    assert [shorts_needed() for _ in range(3)] == [Return.LEAST, 2 * Return.LEAST, 4 * Return.LEAST]
    for _ in range(4 * Return.LEAST):
        returning.allows(True)
    assert shorts_needed() == Return.LEAST
    assert [shorts_needed() for _ in range(12)][-1] == Return.MOST


def test_a_few_short_batches_among_longer_ones_do_not_come_back() -> None:
    returning = Return()
    assert not any(returning.allows(number % Return.LEAST != 0) for number in range(10 * Return.LEAST))


def test_one_bad_moment_of_a_rare_size_does_not_keep_it_from_the_loop(make_driver) -> None:
    driver = make_driver(limit_us=100)
    for size in (8, 4):
        driver.run(size, times=2 * LEARN_RUNS + 1)
    driver.instance.time_us = 10_000
    driver.run(size=4)
    driver.instance.time_us = 50
    driver.run(size=4)
    assert driver.ran_here
