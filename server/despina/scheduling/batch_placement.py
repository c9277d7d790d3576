"""Where the batches of an instance run: on the event loop's thread or not, decided from measured times.

An instance normally has a thread of its own, so that the event loop goes on while it computes. For short batches that
has a price, and there are two ways around it, chosen per batch, and only for models whose time depends on nothing but
the shapes of their inputs: one with a loop inside could surprise us and block everybody.

- A batch of a few dozen microseconds runs on the loop's thread: handing it over would cost more than the run itself.
- An instance that is busy with batches of up to 5 ms gets a process (`own_process`).

Nothing runs here: `runner` asks for every batch, and tells what became of it.
"""

from collections import deque

from despina.scheduling.outcome import Outcome
from despina.scheduling.run_times import RunTimes


class Return:
    """When batches come back from a process to the loop's thread: after so many in a row that were short enough for it.
    One that is short among longer ones is the rest of those. If they do not stay, it takes twice as many next time."""

    LEAST = 32
    MOST = 1024

    def __init__(self) -> None:
        self._needed = self.LEAST
        self._in_a_row = 0

    def allows(self, short: bool) -> bool:
        """Whether a batch may run on the loop's thread, given that it is short enough, or not."""
        if short:
            self._in_a_row += 1
            return self._in_a_row >= self._needed
        if self._in_a_row >= self._needed:
            stayed = self._in_a_row >= 2 * self._needed
            self._needed = self.LEAST if stayed else min(2 * self._needed, self.MOST)
        self._in_a_row = 0
        return False


class BatchPlacement:
    """Decides for one instance. `limit_ns` is how long a batch may take on the loop's thread; with 0 none runs there.

    `suits_loop`: the latest batch was one for the loop's thread, even if the instance was busy elsewhere.
    """

    TRIED = 2
    """Batches that take up to so many times the limit elsewhere are tried on the loop's thread."""
    COME_BACK = 0.85
    """From a process batches come back to the loop's thread when they take no more than this part of the limit."""
    PROCESS_UP_TO_NS = 5_000_000
    """Longer batches are no reason for a process: beside them, what the threads wait for each other is little. A
    judgement: up to here a process was measured to be worth it, nothing longer was measured."""

    def __init__(self, limit_ns: int) -> None:
        self._limit_ns = limit_ns
        self._times = RunTimes()
        self._return = Return()
        self._under_way: deque[int] = deque()
        self.suits_loop = False

    def on_loop(self, size: int, has_process: bool) -> bool:
        """Whether the next batch runs on the loop's thread, given that the instance has a process, or not."""
        if not self._limit_ns:
            return False
        fits = self._fits_loop(size, has_process and not self.suits_loop)
        self.suits_loop = self._return.allows(fits) if has_process else fits
        return self.suits_loop and not self._under_way

    def _fits_loop(self, size: int, in_process: bool) -> bool:
        """Whether this batch and those under way, which would be one on the loop's thread, are short enough for it.
        `in_process`: batches run in a process until now."""
        times, limit_ns = self._times, float(self._limit_ns)
        if not self._under_way and not in_process and times.known_to_take(size, limit_ns):
            return True
        together = size + sum(self._under_way)
        expected_ns = times.expected_ns(together) or self._apart_ns(size)
        known = times.known_on_loop(together)
        if in_process:
            limit_ns *= self.COME_BACK
        if not known:
            limit_ns *= self.TRIED
        if expected_ns > limit_ns:
            # A size that is rare remembers one bad moment for long.
            expected_ns = times.shortest_from_ns(together)
            if known and expected_ns > limit_ns:
                times.doubt(together)
        return 0 < expected_ns <= limit_ns

    def _apart_ns(self, size: int) -> int:
        """How long they take one after the other, 0 when that is not known."""
        apart_ns = [self._times.expected_ns(each) for each in (size, *self._under_way)]
        return sum(apart_ns) if all(apart_ns) else 0

    def reason_for_process_ns(self, size: int) -> int:
        """How long a batch takes that had better run in a process; 0 when it is too long for that, or nobody knows."""
        expected_ns = self._times.expected_ns(size)
        return expected_ns if expected_ns <= self.PROCESS_UP_TO_NS else 0

    def ran_on_loop(self, size: int, outcome: Outcome) -> None:
        """A batch has run on the loop's thread."""
        self._times.observe(size, outcome, on_loop=True)

    def handed_over(self, size: int) -> None:
        """A batch has been given to the thread or the process."""
        self._under_way.append(size)

    def came_back(self, size: int, outcome: Outcome) -> None:
        """The oldest batch that was handed over has run."""
        self._under_way.popleft()
        self._times.observe(size, outcome)
