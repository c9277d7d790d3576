"""The queue of a model: first in, first out, bounded in rows and bytes.

A queue without bounds is a slow crash: memory grows until the process dies with everybody's requests. So a queue is
bounded by default, and what does not fit is refused at once.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from sys import maxsize
from typing import Protocol

from despina.errors import Unavailable
from despina.scheduling.pending import Pending


class QueueFull(Unavailable):
    """No room for the request. Not counted as a failure: the scheduler never owned it (protocol §4.4)."""


class TooLate(Unavailable):
    """The request would expire before its turn. Counted as rejected, as if it had waited for that."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """0 means no limit. `rows` and `byte_size` bound everything that waits for one model."""

    rows: int = 0
    byte_size: int = 0

    def exceeded_by(self, rows: int, byte_size: int) -> bool:
        return bool((self.rows and rows > self.rows) or (self.byte_size and byte_size > self.byte_size))


class RequestQueue(Protocol):
    """What a batcher needs of a queue. Iterating yields the requests in the order in which they should run."""

    @property
    def rows(self) -> int:
        """Rows of all waiting requests."""
        ...

    def push(self, pending: Pending) -> None:
        """Append. Raises QueueFull, TooLate."""
        ...

    def __iter__(self) -> Iterator[Pending]: ...

    def __len__(self) -> int: ...

    def take(self, count: int) -> list[Pending]:
        """Remove the first `count` requests of the iteration order."""
        ...

    def discard_cancelled(self, gone: Iterable[Pending]) -> list[Pending]:
        """Remove and return those of the cancelled requests `gone` that are here."""
        ...

    def expire(self, now_ns: int) -> list[Pending]:
        """Remove and return the requests that are to be refused because they waited too long."""
        ...

    def next_expiry_ns(self) -> int:
        """When `expire` has something to do next; 0 for never."""
        ...


def queue_full(pending: Pending) -> QueueFull:
    return QueueFull(f"{pending.label}Exceeds maximum queue size")


class FifoQueue(deque[Pending]):
    """One queue, no timeouts."""

    def __init__(self, limits: QueueLimits) -> None:
        super().__init__()
        self.rows = 0
        self._byte_size = 0
        self._most_rows = limits.rows or maxsize
        self._most_bytes = limits.byte_size or maxsize

    def push(self, pending: Pending) -> None:
        rows = self.rows + pending.rows
        byte_size = self._byte_size + pending.byte_size
        # A request larger than the limit may still run when nothing else waits.
        if (rows > self._most_rows or byte_size > self._most_bytes) and self:
            raise queue_full(pending)
        self.rows = rows
        self._byte_size = byte_size
        self.append(pending)

    def take(self, count: int) -> list[Pending]:
        if count == len(self):
            taken = list(self)
            self.clear()
            self.rows = self._byte_size = 0
            return taken
        taken = [self.popleft() for _ in range(count)]
        self._gone(taken)
        return taken

    def discard_cancelled(self, gone: Iterable[Pending]) -> list[Pending]:
        # Nothing can be taken out of the middle, so all that wait are looked at, whoever has gone.
        discarded = [pending for pending in self if pending.cancelled]
        if discarded:
            kept = [pending for pending in self if not pending.cancelled]
            self.clear()
            self.extend(kept)
            self._gone(discarded)
        return discarded

    def _gone(self, requests: list[Pending]) -> None:
        for pending in requests:
            self.rows -= pending.rows
            self._byte_size -= pending.byte_size

    def expire(self, now_ns: int) -> list[Pending]:
        return []

    def next_expiry_ns(self) -> int:
        return 0
