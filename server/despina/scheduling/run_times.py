"""How long the batches of an instance take on the event loop's thread.

Elsewhere they take longer: on a thread, the end of a run includes waiting for the interpreter, and a process that was
asleep starts with cold caches. So what was measured there is only a bound, until enough batches of a size have run on
the loop. The first of those find cold caches, too: it is the shortest of them that counts.
"""

from dataclasses import dataclass

from despina.scheduling.outcome import Outcome

LEARN_RUNS = 8
"""Executions of a size class that must have been timed before its time is known, and on the loop before it is known for
the loop."""
DOUBTS = 200
"""So many batches kept off the loop because of a time on it, and that time counts for no more than a bound. Each time
that was in vain it takes twice as many, up to MOST_DOUBTS."""
MOST_DOUBTS = 12_800
DOWN, UP = 0.1, 0.002
"""Weights of a time below the average and of one above it."""
SLOW, SLOW_RUNS, AT_ONCE = 4, 4, 0.5
"""From the fourth run in a row on that takes more than four times the average, such times have this weight. One of them
on the loop is none to learn from."""


class RunTimes:
    """Run times per size class, as they are while nothing disturbs: when others use the same cores a run takes longer
    for a while, and so would everything else. Sizes up to 8 have classes of their own, above that there are two classes
    between two powers of two."""

    def __init__(self) -> None:
        self._classes: dict[int, _ClassTimes] = {}

    def expected_ns(self, size: int) -> int:
        """Expected run time, or 0 while too little is known. A class that was seldom seen takes no longer than the next
        one."""
        size_class = _size_class(size)
        times = self._classes.get(size_class)
        if times is not None and times.runs >= LEARN_RUNS:
            return int(times.average_ns)
        larger = self._known_from(size_class)
        return int(larger[min(larger)]) if larger else 0

    def shortest_from_ns(self, size: int) -> int:
        """The shortest of the times that are expected of this size and of larger ones, or 0 while none is known."""
        return int(min(self._known_from(_size_class(size)).values(), default=0))

    def _known_from(self, size_class: int) -> dict[int, float]:
        return {
            each: times.average_ns
            for each, times in self._classes.items()
            if each >= size_class and times.runs >= LEARN_RUNS
        }

    def known_to_take(self, size: int, limit_ns: float) -> bool:
        """Whether it is known that a batch takes no longer than that on the loop's thread."""
        times = self._classes.get(_size_class(size))
        return times is not None and times.on_loop >= LEARN_RUNS and times.average_ns <= limit_ns

    def known_on_loop(self, size: int) -> bool:
        """Whether the expected time is that on the loop's thread, and no bound for it."""
        times = self._classes.get(_size_class(size))
        return times is not None and times.on_loop >= LEARN_RUNS

    def doubt(self, size: int) -> None:
        """A batch of this size, whose time on the loop is known, runs elsewhere because of it: that may have been a bad
        moment."""
        times = self._classes[_size_class(size)]
        times.doubts += 1
        if times.doubts >= times.doubts_needed:
            times.doubts = 0
            times.doubts_needed = min(2 * times.doubts_needed, MOST_DOUBTS)
            times.on_loop = 0

    def observe(self, size: int, outcome: Outcome, on_loop: bool = False) -> None:
        if outcome.execution is None:
            return
        taken = outcome.execution.infer_end_ns - outcome.started_ns
        size_class = _size_class(size)
        times = self._classes.get(size_class)
        if times is None:
            times = self._classes[size_class] = _ClassTimes()
        times.observe(taken, on_loop)


@dataclass(slots=True)
class _ClassTimes:
    """The times of one class: how many were measured, their average (0 while there is none), how many of the first on
    the loop and the shortest of those."""

    runs: int = 0
    average_ns: float = 0.0
    on_loop: int = 0
    shortest_ns: int = 0
    slow_runs: int = 0
    doubts: int = 0
    doubts_needed: int = DOUBTS

    def observe(self, taken: int, on_loop: bool) -> None:
        self.runs += 1
        known_on_loop = self.on_loop >= LEARN_RUNS
        if on_loop and not known_on_loop and (not self.average_ns or taken <= SLOW * self.average_ns):
            self._learn_on_loop(taken)
        else:
            self._follow(taken, on_loop or not known_on_loop)
            if on_loop:
                self.doubts_needed = DOUBTS

    def _learn_on_loop(self, taken: int) -> None:
        self.on_loop += 1
        self.shortest_ns = taken if self.on_loop == 1 else min(taken, self.shortest_ns)
        if self.on_loop == LEARN_RUNS:
            self.average_ns = self.shortest_ns

    def _follow(self, taken: int, up: bool) -> None:
        """Longer times hardly count, none of them as more than twice the average. When a few of many times the average
        follow each other, though, the model has become slow, and that counts at once."""
        average = self.average_ns or float(taken)
        if taken < average:
            self.slow_runs = 0
            average += DOWN * (taken - average)
        elif up:
            self.slow_runs = self.slow_runs + 1 if taken > SLOW * average else 0
            at_once = self.slow_runs >= SLOW_RUNS
            average += AT_ONCE * (taken - average) if at_once else UP * min(taken - average, average)
        self.average_ns = average


def _size_class(size: int) -> int:
    if size <= 8:
        return size
    bits = size.bit_length()
    in_upper_half = size >> (bits - 2) & 1
    return 2 * bits + 1 + in_upper_half
