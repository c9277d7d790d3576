"""How long will a batch of so many rows take? Learned from the batches that ran.

For each shape, time = a + b * rows is fitted by least squares with exponentially fading weights, so that the model
follows a machine that gets faster or slower. Batches deviate from their line; how much on average is known too, so that
a promise can hold for most batches and not for half of them.
"""

from collections import OrderedDict


class _Line:
    """Weighted sums of one shape, and the mean deviation from the line they make."""

    FADING = 0.98

    __slots__ = ("deviation", "largest", "seen", "sum_w", "sum_x", "sum_xx", "sum_xy", "sum_y")

    def __init__(self) -> None:
        self.sum_w = self.sum_x = self.sum_y = self.sum_xx = self.sum_xy = 0.0
        self.deviation = 0.0
        self.largest = 0
        self.seen = 0

    def observe(self, rows: int, taken_ns: int) -> None:
        if self.seen:
            missed = abs(taken_ns - self.at(rows))
            self.deviation += 0.1 * (missed - self.deviation)
        for name in ("sum_w", "sum_x", "sum_y", "sum_xx", "sum_xy"):
            setattr(self, name, getattr(self, name) * self.FADING)
        self.sum_w += 1
        self.sum_x += rows
        self.sum_y += taken_ns
        self.sum_xx += rows * rows
        self.sum_xy += rows * taken_ns
        self.largest = max(self.largest, rows)
        self.seen += 1

    def at(self, rows: int) -> float:
        """The time of `rows`. Batches of one size only say nothing of a slope: then the time of more rows grows with
        their number, and that of fewer does not shrink."""
        mean_x, mean_y = self.sum_x / self.sum_w, self.sum_y / self.sum_w
        spread = self.sum_xx / self.sum_w - mean_x * mean_x
        if spread < 1e-9 * mean_x * mean_x:
            return mean_y * max(1.0, rows / mean_x)
        slope = max(0.0, (self.sum_xy / self.sum_w - mean_x * mean_y) / spread)
        return max(mean_y + slope * (rows - mean_x), 0.0)


class RunTimeModel:
    """One line per shape; of very many shapes the least recently used are forgotten."""

    MAX_SHAPES = 64
    ENOUGH = 4

    def __init__(self) -> None:
        self._lines: OrderedDict[object, _Line] = OrderedDict()

    def observe(self, shape_key: object, rows: int, taken_ns: int) -> None:
        line = self._lines.setdefault(shape_key, _Line())
        self._lines.move_to_end(shape_key)
        if len(self._lines) > self.MAX_SHAPES:
            self._lines.popitem(last=False)
        line.observe(rows, taken_ns)

    def mean_ns(self, shape_key: object, rows: int) -> float:
        """Time of a batch of `rows` on average; 0 while too little is known of its shape."""
        line = self._known(shape_key)
        return line.at(rows) if line is not None else 0.0

    def deviation_ns(self, shape_key: object) -> float:
        """How far a batch is off its mean, on average."""
        line = self._known(shape_key)
        return line.deviation if line is not None else 0.0

    def largest_batch(self, shape_key: object, max_rows: int, limit_ns: float) -> int:
        """Most rows, up to `max_rows`, that take no longer than `limit_ns` on average; at least 1. What was never tried
        is approached by doubling."""
        line = self._lines.get(shape_key)
        if line is None:
            return 1
        most = min(max_rows, max(1, 2 * line.largest))
        if line.seen < self.ENOUGH:
            return most
        low, high = 1, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if line.at(middle) <= limit_ns else (low, middle - 1)
        return low

    def _known(self, shape_key: object) -> _Line | None:
        line = self._lines.get(shape_key)
        return line if line is not None and line.seen >= self.ENOUGH else None
