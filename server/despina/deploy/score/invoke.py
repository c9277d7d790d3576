"""Calls into the script: plain or async, timed, and cut off when they take too long."""

import asyncio
import inspect
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


class ScoringTimeout(BaseException):
    """The call took too long.

    Not an Exception, because it is raised inside the script, where an `except Exception` would eat it.
    """


@dataclass(frozen=True, slots=True)
class Result:
    """What run() returned, and how long it took in milliseconds."""

    value: Any
    milliseconds: float


class Caller:
    """Calls functions of one script in one thread. Coroutines share one event loop, so clients made in one call live
    in the next."""

    def __init__(self, timeout_ms: int | None = None) -> None:
        self._timeout_ms = timeout_ms
        self._runner: asyncio.Runner | None = None

    def initialise(self, function: Callable[[], Any]) -> None:
        """Calls init(), which may take its time, and may be async too."""
        value = function()
        if inspect.iscoroutine(value):
            self._run(value)

    def call(self, function: Callable[..., Any], **arguments: Any) -> Result:
        """Raises ScoringTimeout: it took longer than the limit. Raises Exception: what the function raised."""
        started = time.perf_counter()
        try:
            with _limited(self._timeout_ms):
                value = function(**arguments)
                if inspect.iscoroutine(value):
                    value = self._run(value)
        except ScoringTimeout:
            self.close()  # the alarm may have gone off in the middle of the loop's own work
            raise
        return Result(value, (time.perf_counter() - started) * 1000)

    def close(self) -> None:
        """Ends what coroutines left running."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._runner is None:
            self._runner = asyncio.Runner()
            with _alarm_held_back():  # a loop that is half made when it goes off would never be closed
                self._runner.get_loop()
        return self._runner.run(coroutine)


@contextmanager
def _limited(timeout_ms: int | None) -> Iterator[None]:
    # Signals reach the main thread only; elsewhere the limit is the server's own worker timeout.
    if timeout_ms is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _raise_timeout)
    signal.setitimer(signal.ITIMER_REAL, timeout_ms / 1000)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _alarm_held_back() -> Iterator[None]:
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        if left:
            signal.setitimer(signal.ITIMER_REAL, left)


def _raise_timeout(number: int, frame: FrameType | None) -> None:
    raise ScoringTimeout
