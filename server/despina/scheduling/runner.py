"""Runs the batches of one model instance.

An instance normally has a thread of its own, so that the event loop goes on while it computes. For short batches that
has a price, and there are two ways around it, chosen per batch from measured times, and only for models whose time
depends on nothing but the shapes of their inputs (`steady`): one with a loop inside could surprise us and block
everybody.

- A batch of a few dozen microseconds runs on the loop's thread: handing it over would cost more than the run itself.
- An instance that is busy with batches of up to 5 ms gets a process (`own_process`).
"""

import logging
from collections import deque
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import monotonic_ns

from despina.errors import BACKEND_ERRORS, Internal, Unavailable
from despina.scheduling.clock import Clock
from despina.scheduling.outcome import Done, Outcome
from despina.scheduling.own_process import OwnProcess, ProcessOffer
from despina.scheduling.run_times import RunTimes
from despina_backends.base import BackendError, Batch, Execution, Instance

_log = logging.getLogger(__name__)


class Return:
    """When batches come back from a process to the loop's thread: after so many in a row that were short enough for it.
    One that is short among longer ones is the rest of those. If they do not stay, it takes twice as many next time."""

    LEAST = 32
    MOST = 1024

    def __init__(self) -> None:
        self._needed = self.LEAST
        self._in_a_row = 0

    def allows(self, short: bool) -> bool:
        """Whether a batch may run on the loop's thread, given that it is short enough, or not."""
        if short:
            self._in_a_row += 1
            return self._in_a_row >= self._needed
        if self._in_a_row >= self._needed:
            stayed = self._in_a_row >= 2 * self._needed
            self._needed = self.LEAST if stayed else min(2 * self._needed, self.MOST)
        self._in_a_row = 0
        return False


class InstanceRunner:
    """Executes batches on one instance, in order. `run` returns at once unless the batch is short enough for the loop's
    thread, in which case `done` has been called when it returns."""

    TRIED = 2
    """Batches that take up to so many times the limit elsewhere are tried on the loop's thread."""
    COME_BACK = 0.85
    """From a process batches come back to the loop's thread when they take no more than this part of the limit."""
    PROCESS_UP_TO_NS = 5_000_000
    """Longer batches are no reason for a process: beside them, what the threads wait for each other is little. A
    judgement: up to here a process was measured to be worth it, nothing longer was measured."""

    def __init__(
        self,
        name: str,
        instance: Instance,
        clock: Clock,
        steady: bool,
        inline_limit_ns: int,
        offer: ProcessOffer | None = None,
    ) -> None:
        self.name = name
        self._instance = instance
        self._clock = clock
        self._inline_limit_ns = inline_limit_ns if steady else 0
        self._times = RunTimes()
        self._under_way: deque[int] = deque()
        self._return = Return()
        self._small = False
        self._process = OwnProcess(name, offer, clock, self._run_on_thread) if steady and offer is not None else None
        self._work: SimpleQueue[tuple[Batch, Done] | None] = SimpleQueue()
        self._thread: Thread | None = None

    @property
    def overlaps(self) -> bool:
        """Whether a batch should be handed over while another one runs, so that nothing is lost between the two."""
        return not self._small and self._process is not None and self._process.ready

    def run(self, batch: Batch, size: int, done: Done) -> None:
        """Execute `batch`; `size` classes batches that should take about equally long (rows or bytes)."""
        if self._inline_limit_ns and self._runs_inline(size):
            outcome = self._execute(batch)
            # Whoever asked is on the way to the next request while this is still being counted.
            done(outcome)
            self._times.observe(size, outcome, on_loop=True)
            return
        self._under_way.append(size)
        done = partial(self._finish, size, done)
        if self._process is not None:
            if self._process.ready:
                self._process.run(batch, done)
                return
            expected_ns = self._times.expected_ns(size)
            if 0 < expected_ns <= self.PROCESS_UP_TO_NS:
                self._process.count_short_run(expected_ns)
        self._run_on_thread(batch, done)

    def close(self) -> None:
        """Wait for thread and process to end and free the instance. Blocks; must not be called while a batch runs, nor
        on the loop's thread."""
        if self._process is not None:
            self._process.close()
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
        self._instance.close()

    def _runs_inline(self, size: int) -> bool:
        small = self._fits_loop(size)
        if self._process is not None and self._process.ready:
            small = self._return.allows(small)
        self._small = small
        return small and not self._under_way

    def _fits_loop(self, size: int) -> bool:
        """Whether this batch and those under way, which would be one on the loop's thread, are short enough for it."""
        times, limit_ns = self._times, float(self._inline_limit_ns)
        if not self._under_way and not self.overlaps and times.known_to_take(size, limit_ns):
            return True
        together = size + sum(self._under_way)
        expected_ns = times.expected_ns(together) or self._apart_ns(size)
        known = times.known_on_loop(together)
        if self.overlaps:
            limit_ns *= self.COME_BACK
        if not known:
            limit_ns *= self.TRIED
        if expected_ns > limit_ns:
            # A size that is rare remembers one bad moment for long.
            expected_ns = times.shortest_from_ns(together)
            if known and expected_ns > limit_ns:
                times.doubt(together)
        return 0 < expected_ns <= limit_ns

    def _apart_ns(self, size: int) -> int:
        """How long they take one after the other, 0 when that is not known."""
        apart_ns = [self._times.expected_ns(each) for each in (size, *self._under_way)]
        return sum(apart_ns) if all(apart_ns) else 0

    def _finish(self, size: int, done: Done, outcome: Outcome) -> None:
        self._under_way.popleft()
        self._times.observe(size, outcome)
        done(outcome)

    def _run_on_thread(self, batch: Batch, done: Done) -> None:
        if self._thread is None:
            thread = Thread(target=self._serve, name=f"despina-{self.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # The system allows no more; the next batch tries again.
                refusal = Unavailable(f"instance '{self.name}' has no thread to run on: {error}. Try again later.")
                outcome = Outcome(monotonic_ns(), error=refusal)
                self._clock.call_threadsafe(partial(done, outcome))
                return
            self._thread = thread
        self._work.put((batch, done))

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
            execution = self._instance.execute(batch)
            if not isinstance(execution, Execution):  # A backend may be anybody's.
                raise TypeError(f"expected an Execution of its backend, got {type(execution).__name__}")
            return Outcome(started, execution)
        except BackendError as error:
            return Outcome(started, error=BACKEND_ERRORS[error.code](error.message))
        except (Exception, SystemExit) as error:  # SystemExit would end the thread, and nobody would be answered.
            _log.exception("instance %s failed in a way its backend did not foresee", self.name)
            return Outcome(started, error=Internal(f"execution on instance '{self.name}' failed: {error}"))
