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

PATIENCE_S = 0.5
"""How long a recording keeps further runs out, at first, while it waits for those under way. A run may take minutes:
TensorRT builds an engine in the first of a shape."""


class Gate:
    """Runs go on side by side, a recording alone. A recording that waits is let in before further runs, unless one
    under way takes longer than `patience_s`: then others are let in until that one is over, and the next time the
    recording waits for twice as long.

    `transfers` is held around whatever else uses a GPU for a moment, on a thread that must not wait for a batch: it is
    kept waiting by the recording itself alone, not by the runs that a recording waits for. It may be taken again by
    the thread that holds it, since freeing memory of a GPU may be the garbage collector's idea. It is no queue: a
    recording comes in when that thread does something else for as long as it takes to be woken, some 50 µs.
    """

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.transfers = RLock()
        self._patience_s = patience_s
        self._changed = Condition()
        self._runs: set[object] = set()
        self._recording = False

    @contextmanager
    def run(self) -> Iterator[None]:
        """Around whatever may allocate on a GPU or free there, but for the creation of sessions. Not within itself."""
        run = object()
        with self._changed:
            self._changed.wait_for(lambda: not self._recording)
            self._runs.add(run)
        try:
            yield
        finally:
            with self._changed:
                self._runs.remove(run)
                self._changed.notify_all()

    @contextmanager
    def recording(self) -> Iterator[None]:
        with self._changed:
            self._wait_until_alone()
        try:
            with self.transfers:
                yield
        finally:
            with self._changed:
                self._recording = False
                self._changed.notify_all()

    def _wait_until_alone(self) -> None:
        patience_s = self._patience_s
        self._keep_runs_out(after=frozenset())
        while not self._changed.wait_for(lambda: not self._runs, patience_s):
            self._recording = False
            self._changed.notify_all()
            self._keep_runs_out(after=frozenset(self._runs))
            patience_s *= 2

    def _keep_runs_out(self, after: frozenset[object]) -> None:
        self._changed.wait_for(lambda: not self._recording and self._runs.isdisjoint(after))
        self._recording = True


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
