"""How long the batches of an instance take on the event loop's thread.

Elsewhere they take longer: on a thread, the end of a run includes waiting for the interpreter, and a process that was
asleep starts with cold caches. So what was measured there is only a bound, until enough batches of a size have run on
the loop. The first of those find cold caches, too: it is the shortest of them that counts.
"""

from despina.scheduling.outcome import Outcome


class RunTimes:
    """Measured run times per size class, as a moving average that follows slow-downs at once. Sizes up to 8 have
    classes of their own, above that they share one between two powers of two."""

    LEARN_RUNS = 8
    """Executions of a size class that must have been timed before its time is known, and on the loop before it is known
    for the loop."""
    DOUBTS = 200
    """So many batches kept off the loop because of a time on it, and that time counts for no more than a bound. Each
    time that was in vain it takes twice as many, up to MOST_DOUBTS."""
    MOST_DOUBTS = 12_800

    def __init__(self) -> None:
        self._average_ns: dict[int, float] = {}
        self._runs: dict[int, int] = {}
        self._shortest_ns: dict[int, int] = {}
        self._on_loop: dict[int, int] = {}
        self._doubts: dict[int, int] = {}
        self._doubts_needed: dict[int, int] = {}

    def expected_ns(self, size: int) -> int:
        """Expected run time, or 0 while too little is known. A class that was seldom seen takes no longer than the next
        one."""
        size_class = _size_class(size)
        if self._runs.get(size_class, 0) >= self.LEARN_RUNS:
            return int(self._average_ns[size_class])
        larger = [each for each, runs in self._runs.items() if each > size_class and runs >= self.LEARN_RUNS]
        return int(self._average_ns[min(larger)]) if larger else 0

    def known_on_loop(self, size: int) -> bool:
        """Whether the expected time is that on the loop's thread, and no bound for it."""
        return self._on_loop.get(_size_class(size), 0) >= self.LEARN_RUNS

    def doubt(self, size: int) -> None:
        """A batch of this size runs elsewhere because of its time on the loop, which may have been a bad moment."""
        size_class = _size_class(size)
        doubts = self._doubts[size_class] = self._doubts.get(size_class, 0) + 1
        needed = self._doubts_needed.get(size_class, self.DOUBTS)
        if doubts >= needed:
            self._doubts[size_class] = 0
            self._doubts_needed[size_class] = min(2 * needed, self.MOST_DOUBTS)
            self._on_loop[size_class] = 0

    def observe(self, size: int, outcome: Outcome, on_loop: bool = False) -> None:
        if outcome.execution is None:
            return
        taken = outcome.execution.infer_end_ns - outcome.started_ns
        size_class = _size_class(size)
        self._runs[size_class] = self._runs.get(size_class, 0) + 1
        if on_loop and not self.known_on_loop(size) and taken <= 4 * self._average_ns.get(size_class, taken):
            self._learn_on_loop(size_class, taken)
        else:
            self._follow(size_class, taken, on_loop or not self.known_on_loop(size))
            if on_loop:
                self._doubts_needed.pop(size_class, None)

    def _learn_on_loop(self, size_class: int, taken: int) -> None:
        runs = self._on_loop[size_class] = self._on_loop.get(size_class, 0) + 1
        shortest = taken if runs == 1 else min(taken, self._shortest_ns[size_class])
        self._shortest_ns[size_class] = shortest
        if runs == self.LEARN_RUNS:
            self._average_ns[size_class] = shortest

    def _follow(self, size_class: int, taken: int, up: bool) -> None:
        average = self._average_ns.setdefault(size_class, float(taken))
        if up or taken < average:
            weight = 0.5 if taken > 4 * average else 0.1
            self._average_ns[size_class] = average + weight * (taken - average)


def _size_class(size: int) -> int:
    return size if size <= 8 else 8 + size.bit_length()
