"""How long a batch takes on instances that all run at the same time."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError, Event

from despina.errors import BACKEND_ERRORS
from despina_backends.base import BackendError, Batch, Instance

_LEAST_RUNS = 3


def run_together(instances: Sequence[Instance], batch: Batch, seconds: float) -> list[float]:
    """Run `batch` on every instance from a thread of its own, once to warm up and then for `seconds`, three times at
    least. The seconds each run took, in no order. Raises DespinaError. After an interrupt no instance runs any more.
    """
    runs = _Runs(len(instances), batch, seconds)
    # An interrupted `join` of a thread takes it for ended up to CPython 3.12; to leave a pool waits for its threads.
    with ThreadPoolExecutor(len(instances)) as threads:
        try:
            for working in [threads.submit(runs.work, instance) for instance in instances]:
                working.result()
        except BackendError as error:
            reason = f"a batch of {batch.rows} random rows failed: {error.message}"
            raise BACKEND_ERRORS[error.code](reason) from None
        except BaseException:
            runs.stop()
            raise
    return runs.taken


class _Runs:
    """Instances that start to count together. One that is done goes on until all are, uncounted, so that every counted
    run had the same company; `taken` are the seconds of those."""

    def __init__(self, size: int, batch: Batch, seconds: float) -> None:
        self.taken: list[float] = []
        self._size = size
        self._batch = batch
        self._seconds = seconds
        self._start = Barrier(size)
        self._done: list[Instance] = []
        self._stopped = Event()

    def work(self, instance: Instance) -> None:
        """The whole work of one of them. Raises BackendError."""
        try:
            instance.execute(self._batch)
            self._start.wait()
            self.taken.extend(self._counted(instance))
            self._done.append(instance)
            while len(self._done) < self._size and not self._stopped.is_set():
                instance.execute(self._batch)
        except BrokenBarrierError:
            pass  # somebody else failed before the start
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Whoever runs ends after that run."""
        self._stopped.set()
        self._start.abort()

    def _counted(self, instance: Instance) -> list[float]:
        taken: list[float] = []
        deadline = time.perf_counter() + self._seconds
        while not self._stopped.is_set() and (len(taken) < _LEAST_RUNS or time.perf_counter() < deadline):
            begin = time.perf_counter()
            instance.execute(self._batch)
            taken.append(time.perf_counter() - begin)
        return taken
