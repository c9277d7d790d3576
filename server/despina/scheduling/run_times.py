"""How long the batches of an instance take."""

from despina.scheduling.outcome import Outcome


class RunTimes:
    """Measured run times per size class (powers of two), as a moving average that follows slow-downs at once."""

    LEARN_RUNS = 8
    """Executions of a size class that must have been timed before its time is known."""

    def __init__(self) -> None:
        self._average_ns: dict[int, float] = {}
        self._runs: dict[int, int] = {}

    def expected_ns(self, size: int) -> int:
        """Expected run time, or 0 while too little is known about this size class."""
        size_class = size.bit_length()
        if self._runs.get(size_class, 0) < self.LEARN_RUNS:
            return 0
        return int(self._average_ns[size_class])

    def observe(self, size: int, outcome: Outcome) -> None:
        if outcome.execution is None:
            return
        taken = outcome.execution.infer_end_ns - outcome.started_ns
        size_class = size.bit_length()
        average = self._average_ns.get(size_class)
        if average is None:
            average = float(taken)
        else:
            weight = 0.5 if taken > 4 * average else 0.1
            average += weight * (taken - average)
        self._average_ns[size_class] = average
        self._runs[size_class] = self._runs.get(size_class, 0) + 1
