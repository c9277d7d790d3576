import threading
from queue import SimpleQueue
from time import monotonic_ns

import numpy as np
import pytest

from despina.scheduling.runner import InstanceRunner, Outcome, RunTimes
from despina_backends.base import BackendError, Batch, Execution

US = 1_000


class Instance:
    """Takes `time_us` by its own account, notes on which thread it ran."""

    def __init__(self) -> None:
        self.time_us = 50
        self.threads: list[int] = []
        self.error: Exception | None = None
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

    def wait(self) -> None:
        self._handed.get(timeout=5)()


BATCH = Batch({}, 1)
HERE = threading.get_ident


class Driver:
    def __init__(self, steady: bool = True, limit_us: int = 200) -> None:
        self.instance = Instance()
        self.clock = ThreadClock()
        self.runner = InstanceRunner("x_0", self.instance, self.clock, steady, limit_us * US)
        self.outcomes: list[Outcome] = []

    def run(self, size: int = 1, times: int = 1) -> Outcome:
        for _ in range(times):
            before = len(self.outcomes)
            self.runner.run(BATCH, size, self.outcomes.append)
            if len(self.outcomes) == before:
                self.clock.wait()
        return self.outcomes[-1]

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
    driver.run(times=InstanceRunner.LEARN_RUNS)
    assert HERE() not in driver.instance.threads
    driver.run()
    assert driver.ran_here


def test_a_model_whose_time_depends_on_values_never_runs_on_the_loop(make_driver) -> None:
    driver = make_driver(steady=False)
    driver.run(times=3 * InstanceRunner.LEARN_RUNS)
    assert HERE() not in driver.instance.threads


def test_a_long_model_never_runs_on_the_loop(make_driver) -> None:
    driver = make_driver()
    driver.instance.time_us = 201
    driver.run(times=3 * InstanceRunner.LEARN_RUNS)
    assert HERE() not in driver.instance.threads


def test_with_a_limit_of_0_nothing_runs_on_the_loop(make_driver) -> None:
    driver = make_driver(limit_us=0)
    driver.run(times=3 * InstanceRunner.LEARN_RUNS)
    assert HERE() not in driver.instance.threads


def test_a_size_that_was_not_seen_yet_runs_on_the_thread(make_driver) -> None:
    driver = make_driver()
    driver.run(times=InstanceRunner.LEARN_RUNS)
    driver.run(size=64)
    assert not driver.ran_here
    driver.run(size=1)
    assert driver.ran_here


def test_a_model_that_became_slow_goes_back_to_the_thread_after_one_long_run(make_driver) -> None:
    driver = make_driver()
    driver.run(times=InstanceRunner.LEARN_RUNS + 1)
    driver.instance.time_us = 1000
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


def test_an_instance_stays_usable_after_an_error(make_driver) -> None:
    driver = make_driver()
    driver.instance.error = ZeroDivisionError()
    driver.run()
    driver.instance.error = None
    assert driver.run().execution is not None


def test_failed_runs_teach_nothing_about_time() -> None:
    times = RunTimes()
    for _ in range(InstanceRunner.LEARN_RUNS):
        times.observe(1, Outcome(0))
    assert times.expected_ns(1) == 0


def test_close_ends_the_thread_and_frees_the_instance() -> None:
    driver = Driver()
    driver.run()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "despina-x_0"]
    driver.runner.close()
    assert not thread.is_alive()
    assert driver.instance.closed


def test_an_instance_that_never_ran_has_no_thread() -> None:
    before = threading.active_count()
    driver = Driver()
    assert threading.active_count() == before
    driver.runner.close()
    assert driver.instance.closed
