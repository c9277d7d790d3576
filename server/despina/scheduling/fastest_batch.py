"""How long a request will wait at the very least: one that cannot make its deadline is refused at once."""

from collections import deque


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
