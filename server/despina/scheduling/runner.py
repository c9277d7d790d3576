"""Runs the batches of one model instance: on the event loop's thread, or on a thread or in a process of its own, as
`batch_placement` decides."""

import logging
from functools import partial
from time import monotonic_ns

from despina.errors import BACKEND_ERRORS, Internal, Unavailable
from despina.scheduling.batch_placement import BatchPlacement
from despina.scheduling.clock import Clock
from despina.scheduling.instance_thread import InstanceThread
from despina.scheduling.outcome import Done, Outcome
from despina.scheduling.own_process import OwnProcess, ProcessOffer
from despina_backends.base import BackendError, Batch, Execution, Instance

_log = logging.getLogger(__name__)


class InstanceRunner:
    """Executes batches on one instance, in order. `run` returns at once unless the batch is short enough for the loop's
    thread, in which case `done` has been called when it returns. `steady`: how long a batch takes depends on the shapes
    of its inputs alone. `thread` is the instance's own, if it has one already."""

    def __init__(
        self,
        name: str,
        instance: Instance,
        clock: Clock,
        steady: bool,
        inline_limit_ns: int,
        offer: ProcessOffer | None = None,
        thread: InstanceThread | None = None,
    ) -> None:
        self.name = name
        self._instance = instance
        self._clock = clock
        self._placement = BatchPlacement(inline_limit_ns if steady else 0)
        self._process = OwnProcess(name, offer, clock, self._run_on_thread) if steady and offer is not None else None
        self._thread = thread or InstanceThread(f"despina-{name}")

    @property
    def overlaps(self) -> bool:
        """Whether a batch should be handed over while another one runs, so that nothing is lost between the two."""
        return not self._placement.suits_loop and self._process is not None and self._process.ready

    def run(self, batch: Batch, size: int, done: Done) -> None:
        """Execute `batch`; `size` classes batches that should take about equally long (rows or bytes)."""
        placement, process = self._placement, self._process
        has_process = process is not None and process.ready
        if placement.on_loop(size, has_process):
            outcome = self._execute(batch)
            # Whoever asked is on the way to the next request while this is still being counted.
            done(outcome)
            placement.ran_on_loop(size, outcome)
            return
        placement.handed_over(size)
        done = partial(self._came_back, size, done)
        if process is not None:
            if has_process:
                process.run(batch, done)
                return
            if run_ns := placement.reason_for_process_ns(size):
                process.count_short_run(run_ns)
        self._run_on_thread(batch, done)

    def close(self) -> None:
        """Wait for thread and process to end and free the instance. Blocks; must not be called while a batch runs, nor
        on the loop's thread."""
        if self._process is not None:
            self._process.close()
        self._thread.close()
        self._instance.close()

    def _came_back(self, size: int, done: Done, outcome: Outcome) -> None:
        self._placement.came_back(size, outcome)
        done(outcome)

    def _run_on_thread(self, batch: Batch, done: Done) -> None:
        try:
            self._thread.post(partial(self._execute_apart, batch, done))
        except RuntimeError as error:
            # The system allows no more; the next batch tries again.
            refusal = Unavailable(f"instance '{self.name}' has no thread to run on: {error}. Try again later.")
            self._clock.call_threadsafe(partial(done, Outcome(monotonic_ns(), error=refusal)))

    def _execute_apart(self, batch: Batch, done: Done) -> None:
        self._clock.call_threadsafe(partial(done, self._execute(batch)))

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
