"""How fast a model gets its work done, measured: for honest refusals.

`DrainRate` says when a client that found the queue full should come again. `FastestBatch` says how long a request will
wait at the very least, so that one which cannot make its deadline is refused at once instead of in vain.
"""

from collections import deque
from typing import Protocol


class BatchObserver(Protocol):
    """Somebody who wants to know how long things take."""

    def batch_done(self, shape_key: object, rows: int, taken_ns: int) -> None:
        """A batch of `rows` has run; `shape_key` is that of its requests."""
        ...

    def turn_taken(self, taken_ns: int) -> None:
        """So long passed between the first request of a turn and its end. Requests that came to a socket meanwhile
        have waited without being seen."""
        ...


class DrainRate:
    """Rows per second while there was a backlog: without one the rate is the clients', not ours.

    Rows are counted over windows of at least `WINDOW_NS`, and the windows' rates averaged with falling weights.
    """

    WINDOW_NS = 250_000_000
    WEIGHT = 0.3
    LONGEST_S = 60.0
    UNKNOWN_S = 1.0

    def __init__(self) -> None:
        self._rate = 0.0
        self._since_ns = 0
        self._rows = 0

    def batch_done(self, rows: int, now_ns: int, backlog: bool) -> None:
        """`backlog`: requests were waiting while this batch ran, so the next one follows at once."""
        if not backlog:
            self._since_ns = 0
            return
        if not self._since_ns:
            self._since_ns = now_ns
            self._rows = 0
            return
        self._rows += rows
        taken = now_ns - self._since_ns
        if taken >= self.WINDOW_NS:
            rate = self._rows * 1e9 / taken
            self._rate = rate if not self._rate else self._rate + self.WEIGHT * (rate - self._rate)
            self._since_ns = now_ns
            self._rows = 0

    def rows_per_second(self, now_ns: int) -> float:
        """0 while nothing is known. The first window counts before it is over."""
        if self._rate or not self._since_ns or now_ns <= self._since_ns:
            return self._rate
        return self._rows * 1e9 / (now_ns - self._since_ns)

    def seconds_for(self, rows: int, now_ns: int) -> float:
        """How long `rows` waiting rows take. A guess of a second while nothing is known, never above a minute."""
        rate = self.rows_per_second(now_ns)
        return min(rows / rate, self.LONGEST_S) if rate else self.UNKNOWN_S


class FastestBatch:
    """The shortest of the recent run times, as a lower bound for what lies ahead.

    A mean would turn away requests that could have made it whenever times vary; the minimum refuses only what is late
    even if everything goes as well as it ever did lately. Nothing is refused before `MEMORY` batches are known.
    """

    MEMORY = 16

    def __init__(self, max_batch_size: int, instances: int) -> None:
        self._max_batch_size = max(1, max_batch_size)
        self._instances = max(1, instances)
        self._times_ns: deque[int] = deque(maxlen=self.MEMORY)

    def batch_done(self, shape_key: object, rows: int, taken_ns: int) -> None:
        self._times_ns.append(taken_ns)

    def turn_taken(self, taken_ns: int) -> None:
        """Makes no difference to the least that a request will wait."""

    def wait_ns(self, rows_ahead: int) -> int:
        """How long a request behind `rows_ahead` rows waits at least: these make full batches, every instance starts
        one of them now, and the last rows share a batch with the request. 0 while too little is known."""
        if len(self._times_ns) < self.MEMORY:
            return 0
        batches = rows_ahead // self._max_batch_size
        return batches // self._instances * min(self._times_ns)
