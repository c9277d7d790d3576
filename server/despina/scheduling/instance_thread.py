"""The thread of one model instance.

An instance on a GPU has it from its load on, since ONNX Runtime keeps a CUDA stream and the handles of cuBLAS and cuDNN
for every thread that runs a session, and makes them in the first run of the thread: a warm-up on another would leave
that to the first request, and what the other thread got would stay on the GPU for as long as thread and session live.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread

from despina_backends.base import BackendError, Batch, Execution, Instance


class InstanceThread:
    """Does one thing after the other. The thread is started for the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def post(self, work: Callable[[], object]) -> None:
        """Have it done after what was posted before; it raises nothing. Raises RuntimeError where the system allows no
        more threads; the next call tries again."""
        if self._thread is None:
            thread = Thread(target=self._serve, name=self._name, daemon=True)
            thread.start()
            self._thread = thread
        self._work.put(work)

    def close(self) -> None:
        """Wait until everything is done and the thread has ended. Blocks."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
            self._thread = None

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work


class OnThread:
    """An instance as seen by another thread than its own."""

    def __init__(self, inner: Instance, thread: InstanceThread) -> None:
        self._inner = inner
        self._thread = thread

    def execute(self, batch: Batch) -> Execution:
        """See `base.Instance`."""
        result: Future[Execution] = Future()
        try:
            self._thread.post(partial(self._execute, batch, result))
        except RuntimeError as error:
            raise BackendError(f"no thread to run on: {error}", "UNAVAILABLE") from error
        return result.result()

    def close(self) -> None:
        """See `base.Instance`."""
        self._inner.close()

    def _execute(self, batch: Batch, result: Future[Execution]) -> None:
        try:
            result.set_result(self._inner.execute(batch))
        except BaseException as error:
            result.set_exception(error)
