"""The batches that run in an instance's process of its own, seen from the event loop."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from despina.scheduling.clock import Clock
from despina.scheduling.outcome import Done, Outcome
from despina_backends.base import Batch, Execution


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

    def close(self) -> None:
        """Let it end; does not wait."""
        ...

    def reap(self) -> None:
        """Wait until it has ended."""
        ...


class ProcessRuns:
    """Hands batches to a process and takes its answers. What it does not answer, or fails, goes to `instead`, in
    order; `lost` is called once when the process is gone, before that."""

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

    def _answered(self) -> None:
        try:
            started_ns, execution = self._process.receive()
        except (EOFError, OSError):
            self._give_up()
            return
        batch, done = self._under_way.popleft()
        if execution is None:
            self._instead(batch, done)
        else:
            done(Outcome(started_ns, execution))

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
