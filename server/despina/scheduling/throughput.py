"""How fast a model works its queue off, measured: when a client that found it full should come again."""


class Throughput:
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
