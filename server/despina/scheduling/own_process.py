"""When an instance gets a process of its own.

A thread that runs short batches and the thread that serves HTTP hold each other up: at the end of every batch one has
to wait until the other lets go of the interpreter, and between two batches the instance waits while the loop answers
the first one. A process has an interpreter for itself, and can have the next batch already while one runs, but costs
memory and the time to load the model once more. So it is started for an instance whose batches are short, when it has
been busy for a while, and as long as the server has cores to spare.
"""

import logging
from collections.abc import Callable
from functools import partial
from threading import Lock, Thread
from typing import Protocol

from despina.errors import DespinaError
from despina.scheduling.clock import Clock
from despina.scheduling.outcome import Done
from despina.scheduling.process_runs import InstanceProcess, ProcessRuns
from despina_backends.base import BackendError, Batch

_log = logging.getLogger(__name__)


class ProcessOffer(Protocol):
    """The possibility of a process for one instance."""

    def take(self) -> bool:
        """Whether there is room for one more process; then `give_back` follows when it is not there any more."""
        ...

    def start(self) -> InstanceProcess:
        """Blocks until it has loaded the model. Raises an exception when that is not possible."""
        ...

    def give_back(self) -> None: ...


class OwnProcess:
    """The process of one instance, once it has one. `instead` runs what the process does not."""

    BUSY_RUNS = 100
    """So many short batches within BUSY_NS, and the process is started. One counts once more for each UNIT_NS that it
    takes."""
    BUSY_NS = 500_000_000
    UNIT_NS = 500_000

    def __init__(self, name: str, offer: ProcessOffer, clock: Clock, instead: Callable[[Batch, Done], None]) -> None:
        self._name = name
        self._offer = offer
        self._clock = clock
        self._instead = instead
        self._runs: ProcessRuns | None = None
        self._process: InstanceProcess | None = None
        self._thread: Thread | None = None
        self._burying = Lock()
        self._counted = 0
        self._counted_since_ns = 0

    @property
    def ready(self) -> bool:
        """Whether batches can run there."""
        return self._runs is not None

    def run(self, batch: Batch, done: Done) -> None:
        """Only while it is `ready`."""
        assert self._runs is not None
        self._runs.run(batch, done)

    def count_short_run(self, run_ns: int) -> None:
        """A short batch, which takes about `run_ns`, has to run on the thread, because there is no process."""
        if self._thread is not None:
            return
        now = self._clock.now_ns()
        if now - self._counted_since_ns > self.BUSY_NS:
            self._counted = 0
            self._counted_since_ns = now
        before = self._counted
        self._counted += 1 + run_ns // self.UNIT_NS
        if before < self.BUSY_RUNS <= self._counted and self._offer.take() and not self._threaded(self._start, "start"):
            self._offer.give_back()

    def _start(self) -> None:
        try:
            process = self._offer.start()
        except Exception as error:
            # Batches run without it, whatever went wrong; but our own mistakes should be found.
            mistake = not isinstance(error, (BackendError, DespinaError, OSError))
            _log.warning("instance '%s' gets no process of its own: %s", self._name, error, exc_info=mistake)
            self._offer.give_back()
            return
        self._process = process
        self._clock.call_threadsafe(partial(self._started, process))

    def _started(self, process: InstanceProcess) -> None:
        self._runs = ProcessRuns(process, self._clock, self._instead, self._lost)
        _log.info("instance '%s': its batches are short, process %d runs them from now on", self._name, process.pid)

    def _lost(self) -> None:
        _log.warning("the process of instance '%s' is gone; a thread runs its batches again", self._name)
        self._runs = None
        self._threaded(self._bury, "bury")

    def _bury(self) -> None:
        """At most once: the process may be lost in the moment in which `close` ends it."""
        with self._burying:
            process, self._process = self._process, None
        if process is not None:
            process.reap()
            self._offer.give_back()

    def _threaded(self, work: Callable[[], None], what: str) -> bool:
        """False where the system allows no more threads. A process that is not buried then is when this is closed."""
        thread = Thread(target=work, name=f"despina-{what}-{self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            _log.warning("instance '%s': no thread to %s its process: %s", self._name, what, error)
            return False
        self._thread = thread
        return True

    def close(self) -> None:
        """End the process. Blocks; not on the loop's thread, and not while a batch runs."""
        if self._thread is None:
            return
        self._thread.join()
        if self._process is not None:
            # What the thread said about a start comes first.
            self._clock.call_threadsafe(self._close)
            self._bury()

    def _close(self) -> None:
        if self._runs is not None:
            self._runs.close()
