"""The instances of a model as its batcher sees them: which one takes the next batch, and when.

An instance without a process of its own takes one batch, when it is idle. One with a process (`runner.overlaps`) has a
second place: it may have its next batch before it has run the first, so that it goes from one to the other at once. The
loop answers and reads requests meanwhile. Both are busy at the same time if about half of the requests are on either
side, so a second batch is handed over when it is as large as the first, and a batch need not wait for the end of the
turn when about half of the requests are there: a third more than batches have on average, because with exactly as many
three small batches would go round as well as two.
"""

from collections import deque
from collections.abc import Sequence
from sys import maxsize

from despina.scheduling.permits import Permits
from despina.scheduling.runner import InstanceRunner


class Instances:
    """What each instance has to run. `overlapping` is False where batches must not be handed over early. `permits` are
    there when a rate limiter has a say."""

    def __init__(self, runners: Sequence[InstanceRunner], overlapping: bool) -> None:
        self.idle = list(runners)
        self.permits: Permits | None = None
        self._under_way: dict[InstanceRunner, deque[int]] = {runner: deque() for runner in runners}
        self._overlapping = overlapping
        self._with_process: list[InstanceRunner] = []
        self._last = 0
        self._half = 0
        self.enough = maxsize
        """So many waiting requests are worth starting before all that is ready has been read."""

    @property
    def overlap(self) -> bool:
        """Whether any instance has a process."""
        return bool(self._with_process)

    @property
    def busy(self) -> bool:
        """Whether any batch is under way."""
        return len(self.idle) < len(self._under_way)

    def next(self, requests: int) -> InstanceRunner | None:
        """The instance that takes a batch of so many requests now. Asking twice gives the same one."""
        if self.permits is not None:
            return self.permits.next(self.idle) if self.idle else None
        if not self._with_process:
            return self.idle[-1] if self.idle else None
        waiting = [(runner, self._under_way[runner]) for runner in self._with_process]
        for runner, batches in waiting:
            if not batches:
                return runner
        second = [(runner, batches[0]) for runner, batches in waiting if len(batches) == 1]
        for runner, first in second:
            if requests >= first:
                return runner
        # Instances without a process are slower company: they help when the others have all that they can take.
        return self.idle[-1] if self.idle and not second else None

    def started(self, runner: InstanceRunner, requests: int) -> None:
        """A batch of so many requests has been handed over."""
        batches = self._under_way[runner]
        if not batches:
            self.idle.remove(runner)
        batches.append(requests)
        self._half = (2 * (requests + self._last) + 2) // 3
        self._last = requests
        if self._with_process or runner.overlaps:
            self._look()

    def finished(self, runner: InstanceRunner, more: bool = False) -> None:
        """The first batch of an instance has run; `more`: there is more to run."""
        batches = self._under_way[runner]
        batches.popleft()
        if not batches:
            self.idle.append(runner)
        if self._with_process:
            self._look()
        if self.permits is not None:
            self.permits.finished(runner, more)

    def leave(self) -> None:
        """The model is gone."""
        if self.permits is not None:
            self.permits.leave()

    def _look(self) -> None:
        if self._overlapping:
            self._with_process = [runner for runner in self._under_way if runner.overlaps]
            self.enough = self._enough() if self._with_process else maxsize

    def _enough(self) -> int:
        least = maxsize
        for runner in self._with_process:
            batches = self._under_way[runner]
            if not batches:
                return max(2, self._half)
            if len(batches) == 1 and batches[0] < least:
                least = batches[0]
        return max(self._half, least)
