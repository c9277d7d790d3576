"""The queue of a model: first in, first out, bounded in rows and bytes.

A queue without bounds is a slow crash: memory grows until the process dies with everybody's requests. So a queue is
bounded by default, and what does not fit is refused at once.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from despina.errors import Unavailable
from despina.scheduling.pending import Pending


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """0 means no limit. `rows` and `byte_size` bound everything that waits for one model."""

    rows: int = 0
    byte_size: int = 0


class RequestQueue(Protocol):
    """What a batcher needs of a queue. Iterating yields the requests in the order in which they should run."""

    def push(self, pending: Pending) -> None:
        """Append. Raises Unavailable when the queue is full."""
        ...

    def __iter__(self) -> Iterator[Pending]: ...

    def __len__(self) -> int: ...

    def take(self, count: int) -> list[Pending]:
        """Remove the first `count` requests of the iteration order."""
        ...

    def discard_cancelled(self) -> list[Pending]:
        """Remove and return the requests whose clients have gone."""
        ...

    def expire(self, now_ns: int) -> list[Pending]:
        """Remove and return the requests that are to be refused because they waited too long."""
        ...

    def next_expiry_ns(self) -> int:
        """When `expire` has something to do next; 0 for never."""
        ...


class FifoQueue:
    """One queue, no timeouts."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._requests: deque[Pending] = deque()
        self._rows = 0
        self._byte_size = 0

    def push(self, pending: Pending) -> None:
        limits = self._limits
        rows = self._rows + pending.rows
        byte_size = self._byte_size + pending.byte_size
        if self._requests and ((limits.rows and rows > limits.rows) or (limits.byte_size and byte_size > limits.byte_size)):
            raise Unavailable(f"{pending.label}Exceeds maximum queue size")
        self._rows = rows
        self._byte_size = byte_size
        self._requests.append(pending)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._requests)

    def __len__(self) -> int:
        return len(self._requests)

    def take(self, count: int) -> list[Pending]:
        popleft = self._requests.popleft
        taken = [popleft() for _ in range(count)]
        for pending in taken:
            self._rows -= pending.rows
            self._byte_size -= pending.byte_size
        return taken

    def discard_cancelled(self) -> list[Pending]:
        gone = [pending for pending in self._requests if pending.cancelled]
        for pending in gone:
            self._requests.remove(pending)
            self._rows -= pending.rows
            self._byte_size -= pending.byte_size
        return gone

    def expire(self, now_ns: int) -> list[Pending]:
        return []

    def next_expiry_ns(self) -> int:
        return 0
