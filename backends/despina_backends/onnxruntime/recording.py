"""Keeps what happens on GPUs apart from the recording of a CUDA graph.

While ONNX Runtime records one, CUDA refuses the allocations and blocking copies of every other thread
(`cudaStreamCaptureModeGlobal`), and the recording fails with them. At the start of a server that would be the warm-up
of the models that load at the same time, later on the requests of those that are served. A recording takes
milliseconds; so it waits until the batches under way are done, and those that come meanwhile wait for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, RLock

from despina_backends.base import Batch, Execution, Instance


class Gate:
    """Runs go on side by side, a recording alone. A recording that waits is let in before further runs.

    `transfers` is held around whatever else uses a GPU for a moment, on a thread that must not wait for a batch: it is
    kept waiting by the recording itself alone, not by the runs that a recording waits for. It may be taken again by
    the thread that holds it, since freeing memory of a GPU may be the garbage collector's idea. It is no queue: a
    recording comes in when that thread does something else for as long as it takes to be woken, some 50 µs.
    """

    def __init__(self) -> None:
        self.transfers = RLock()
        self._changed = Condition()
        self._runs = 0
        self._recording = False

    @contextmanager
    def run(self) -> Iterator[None]:
        """Around whatever may allocate on a GPU or free there, but for the creation of sessions. Not within itself."""
        with self._changed:
            self._changed.wait_for(lambda: not self._recording)
            self._runs += 1
        try:
            yield
        finally:
            with self._changed:
                self._runs -= 1
                self._changed.notify_all()

    @contextmanager
    def recording(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._recording)
            self._recording = True
            self._changed.wait_for(lambda: not self._runs)
        try:
            with self.transfers:
                yield
        finally:
            with self._changed:
                self._recording = False
                self._changed.notify_all()


GATE = Gate()
"""That of all GPUs: a recording on one disturbs the others, too."""


class GatedInstance:
    """An instance on a GPU without graphs. `enter` makes that GPU the one of the thread that calls it."""

    def __init__(self, inner: Instance, enter: Callable[[], object]) -> None:
        self.inner = inner
        self._enter = enter

    def execute(self, batch: Batch) -> Execution:
        """See `base.Instance`."""
        with GATE.run():
            return self.inner.execute(batch)

    def close(self) -> None:
        """See `base.Instance`."""
        with GATE.run():
            self._enter()
            self.inner.close()
