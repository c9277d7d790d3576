"""Runs the batches of one model instance.

An instance normally has a thread of its own, so that the event loop goes on while it computes. For a model that runs
for a few dozen microseconds, handing the batch to a thread and back costs more than the run itself, so such batches run
on the loop's thread. The choice is made per batch from measured times, and only for models whose time depends on
nothing but the shapes of their inputs (`steady`): a model with a loop inside could surprise us and block everybody.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import monotonic_ns

from despina.errors import BACKEND_ERRORS, DespinaError, Internal
from despina.scheduling.clock import Clock
from despina_backends.base import BackendError, Batch, Execution, Instance

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an execution ended: with `execution` or with `error`. `started_ns` is when it began."""

    started_ns: int
    execution: Execution | None = None
    error: DespinaError | None = None


Done = Callable[[Outcome], None]


class InstanceRunner:
    """Executes batches on one instance, one at a time. `run` returns at once unless the batch is short enough for the
    loop's thread, in which case `done` has been called when it returns."""

    LEARN_RUNS = 8
    """Executions of one size class that are timed on the thread before the class may run on the loop."""

    def __init__(self, name: str, instance: Instance, clock: Clock, steady: bool, inline_limit_ns: int) -> None:
        self.name = name
        self._instance = instance
        self._clock = clock
        self._inline_limit_ns = inline_limit_ns if steady else 0
        self._times = RunTimes()
        self._work: SimpleQueue[tuple[Batch, Done] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def run(self, batch: Batch, size: int, done: Done) -> None:
        """Execute `batch`; `size` classes batches that should take about equally long (rows or bytes)."""
        if self._inline_limit_ns:
            expected = self._times.expected_ns(size)
            if 0 < expected <= self._inline_limit_ns:
                outcome = self._execute(batch)
                self._times.observe(size, outcome)
                done(outcome)
                return
            done = self._timed(size, done)
        if self._thread is None:
            self._thread = Thread(target=self._serve, name=f"despina-{self.name}", daemon=True)
            self._thread.start()
        self._work.put((batch, done))

    def close(self) -> None:
        """Wait for the thread to end and free the instance. Blocks; must not be called while a batch runs."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
        self._instance.close()

    def _timed(self, size: int, done: Done) -> Done:
        def observe_and_finish(outcome: Outcome) -> None:
            self._times.observe(size, outcome)
            done(outcome)

        return observe_and_finish

    def _serve(self) -> None:
        post = self._clock.call_threadsafe
        while (item := self._work.get()) is not None:
            batch, done = item
            outcome = self._execute(batch)
            post(partial(done, outcome))
            # Otherwise the arrays of this batch would live until the next one comes.
            del item, batch, done, outcome

    def _execute(self, batch: Batch) -> Outcome:
        started = monotonic_ns()
        try:
            return Outcome(started, self._instance.execute(batch))
        except BackendError as error:
            return Outcome(started, error=BACKEND_ERRORS[error.code](error.message))
        except Exception as error:
            _log.exception("instance %s failed in a way its backend did not foresee", self.name)
            return Outcome(started, error=Internal(f"execution on instance '{self.name}' failed: {error}"))


class RunTimes:
    """Measured run times per size class (powers of two), as a moving average that follows slow-downs at once."""

    def __init__(self) -> None:
        self._average_ns: dict[int, float] = {}
        self._runs: dict[int, int] = {}

    def expected_ns(self, size: int) -> int:
        """Expected run time, or 0 while too little is known about this size class."""
        size_class = size.bit_length()
        if self._runs.get(size_class, 0) < InstanceRunner.LEARN_RUNS:
            return 0
        return int(self._average_ns[size_class])

    def observe(self, size: int, outcome: Outcome) -> None:
        if outcome.execution is None:
            return
        taken = outcome.execution.infer_end_ns - outcome.started_ns
        size_class = size.bit_length()
        average = self._average_ns.get(size_class)
        if average is None:
            average = float(taken)
        else:
            weight = 0.5 if taken > 4 * average else 0.1
            average += weight * (taken - average)
        self._average_ns[size_class] = average
        self._runs[size_class] = self._runs.get(size_class, 0) + 1
