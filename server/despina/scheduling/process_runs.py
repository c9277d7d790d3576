"""The batches that run in an instance's process of its own, seen from the event loop."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from despina.scheduling.clock import Clock
from despina.scheduling.outcome import Done, Outcome
from despina_backends.base import Batch, Execution

_log = logging.getLogger(__name__)

BEAT_NS = 1_000_000_000

BEATS = 20
"""For so many a process may have batches to run, answer none and use no processor. They are counted and not read from a
clock: while this process is held up itself, nothing beats. One that works may take as long as it likes."""


class InstanceProcess(Protocol):
    """A process that runs batches in order; see `despina_backends.process`."""

    @property
    def pid(self) -> int: ...

    @property
    def answers(self) -> int:
        """A file descriptor that is readable whenever a batch has run, and when the process is gone."""
        ...

    def send(self, batch: Batch) -> None:
        """Have a batch run. Raises OSError when the process is gone."""
        ...

    def receive(self) -> tuple[int, Execution | None]:
        """When the oldest batch began, and what came of it, None when it failed. Raises EOFError."""
        ...

    def worked_ns(self) -> int:
        """The processor time that it has used."""
        ...

    def close(self) -> None:
        """Let it end; does not wait."""
        ...

    def reap(self) -> None:
        """Wait until it has ended."""
        ...


class ProcessRuns:
    """Hands batches to a process and takes its answers. What it does not answer, or fails, goes to `instead`, in
    order; `lost` is called once when the process is gone, or stands still, before that."""

    def __init__(
        self,
        process: InstanceProcess,
        clock: Clock,
        instead: Callable[[Batch, Done], None],
        lost: Callable[[], None],
    ) -> None:
        self._process = process
        self._clock = clock
        self._instead = instead
        self._lost = lost
        self._under_way: deque[tuple[Batch, Done]] = deque()
        self._closed = False
        self._beating = False
        self._beats_left = 0
        self._worked_ns = 0
        clock.watch(process.answers, self._answered)

    def run(self, batch: Batch, done: Done) -> None:
        try:
            self._process.send(batch)
        except OSError:
            self._under_way.append((batch, done))
            self._give_up()
        except Exception:
            self._instead(batch, done)  # It is no batch for this model; whoever runs it says why.
        else:
            self._under_way.append((batch, done))
            if not self._beating:
                self._beats_left = BEATS
                self._await_beat()

    def _answered(self) -> None:
        try:
            started_ns, execution = self._process.receive()
        except (EOFError, OSError):
            self._give_up()
            return
        self._beats_left = BEATS
        batch, done = self._under_way.popleft()
        if execution is None:
            self._instead(batch, done)
        else:
            done(Outcome(started_ns, execution))

    def _await_beat(self) -> None:
        self._beating = True
        self._clock.call_at(self._clock.now_ns() + BEAT_NS, self._beat)

    def _beat(self) -> None:
        self._beating = False
        if self._closed or not self._under_way:
            return
        worked_ns = self._process.worked_ns()
        self._beats_left = BEATS if worked_ns > self._worked_ns else self._beats_left - 1
        self._worked_ns = worked_ns
        if self._beats_left > 0:
            self._await_beat()
        else:
            _log.warning("process %d has batches to run and stands still: it will be ended", self._process.pid)
            self._give_up()

    def _give_up(self) -> None:
        self.close()
        self._lost()
        while self._under_way:
            self._instead(*self._under_way.popleft())

    def close(self) -> None:
        """Let the process end. On the loop's thread."""
        if not self._closed:
            self._closed = True
            self._clock.unwatch(self._process.answers)
            self._process.close()
