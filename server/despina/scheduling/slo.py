"""A latency target instead of a batch size and a delay (`parameters { key: "slo_p99_ms" ... }`).

What a user wants is not "batches of 32 after 2 ms" but "99 of 100 answers within 20 ms, and as many as possible". From
the measured run times this follows:

- a request that just missed a batch waits for it and then runs in the next: a batch may take half the target at most,
  on average (smaller batches would not make times that vary vary less, only use the machine worse);
- requests run in the order of their deadlines (arrival + target, or the request's own shorter timeout);
- one that cannot make its deadline any more is refused at once, so that it does not make the next one late, too.

There is no artificial waiting: under little load batches are small and answers fast, and as load grows batches grow up
to the cap. Beyond the capacity the excess is refused and the rest still meets the target.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import sqrt

from despina.scheduling.batch_policy import Decision, OpenBatch, Reason
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import QueueLimits, TooLate, queue_full
from despina.scheduling.run_time_model import RunTimeModel

HEADROOM = 0.9
"""Part of the target that queueing and running may use up; the rest is for the way in and out."""

FADING = 0.98
"""What is left after a turn of the longest time that requests may have waited unseen."""

LARGEST_MARGIN = 0.1
"""Part of the target that an expectation may be made longer by because times vary. Where they vary by more, refusing
more helps nobody: a batch that happens to be slow makes its requests late however few they are."""

FORMED, PROMISED = 0.5, 0.48
"""Part of the target that a batch may take when it is formed, and when it is counted on: what is measured meanwhile
moves the sizes a little, and a request that just fitted must not be left for one more batch."""


@dataclass(order=True, slots=True)
class _Entry:
    deadline_ns: int
    number: int
    pending: Pending = field(compare=False)


class SloQueue:
    """A `RequestQueue` in the order of deadlines, and the decision that goes with it. All times in nanoseconds."""

    def __init__(self, target_ns: int, max_batch_size: int, instances: int, limits: QueueLimits) -> None:
        self.rows = 0
        self._target_ns = int(target_ns * HEADROOM)
        self._max_rows = max(1, max_batch_size)
        self._instances = max(1, instances)
        self._limits = limits
        self._times = RunTimeModel()
        self._entries: list[_Entry] = []
        self._byte_size = 0
        self._pushed = 0
        self._ends_ns: deque[int] = deque(maxlen=self._instances)
        """When the batches that run now are expected to end."""
        self._unseen_ns = 0.0

    def batch_done(self, shape_key: object, rows: int, taken_ns: int) -> None:
        """A batch has run."""
        self._times.observe(shape_key, rows, taken_ns)

    def turn_taken(self, taken_ns: int) -> None:
        """Requests may have waited so long before they are pushed. The longest time counts, and slowly fades."""
        self._unseen_ns = max(float(taken_ns), FADING * self._unseen_ns)

    # -------------------------------------------------------------------------------------------------- coming in

    def push(self, pending: Pending) -> None:
        """Queue a request whose `queued_ns` is set. Raises QueueFull, TooLate."""
        if self._entries and self._limits.exceeded_by(self.rows + pending.rows, self._byte_size + pending.byte_size):
            raise queue_full(pending)
        allowed_ns = int(max(self._target_ns - self._unseen_ns, self._target_ns / 2))
        if pending.timeout_us:
            allowed_ns = min(allowed_ns, pending.timeout_us * 1000)
        pending.deadline_ns = pending.queued_ns + allowed_ns
        self._check_in_time(pending, allowed_ns)
        insort(self._entries, _Entry(pending.deadline_ns, self._pushed, pending))
        self._pushed += 1
        self.rows += pending.rows
        self._byte_size += pending.byte_size

    def _check_in_time(self, pending: Pending, allowed_ns: int) -> None:
        rows_ahead = self._rows_before(pending.deadline_ns)
        needed_ns = self._expected_wait_ns(pending, rows_ahead)
        if needed_ns > allowed_ns:
            raise TooLate(
                f"{pending.label}Request timeout expired: with {rows_ahead} rows ahead the answer is expected after "
                f"{needed_ns // 1000} microseconds, the latency target leaves {allowed_ns // 1000}; send fewer "
                "requests at a time",
                retry_after=(needed_ns - allowed_ns) / 1e9,
            )

    def _rows_before(self, deadline_ns: int) -> int:
        if not self._entries or self._entries[-1].deadline_ns <= deadline_ns:
            return self.rows
        return sum(entry.pending.rows for entry in self._entries if entry.deadline_ns <= deadline_ns)

    def _expected_wait_ns(self, pending: Pending, rows_ahead: int) -> int:
        """From now to the end of the batch that will hold the request, unlikely to be exceeded; 0 while too little is
        known."""
        times, shape_key = self._times, pending.shape_key
        free_in_ns = self._free_in_ns(pending.queued_ns)
        if not rows_ahead and not free_in_ns:
            return int(times.mean_ns(shape_key, pending.rows) + self._margin_ns(shape_key, 1))
        # Others will join its batch while it waits: every batch counts as a full one.
        cap = self._cap(shape_key, PROMISED)
        batches = 1 + (rows_ahead + pending.rows - 1) // cap // self._instances
        expected_ns = free_in_ns + batches * times.mean_ns(shape_key, cap)
        return int(expected_ns + self._margin_ns(shape_key, batches + (free_in_ns > 0)))

    def _margin_ns(self, shape_key: object, batches: int) -> float:
        """What is added for times that vary; batches in a row partly make up for each other."""
        margin_ns = 2 * self._times.deviation_ns(shape_key) * sqrt(batches)
        return min(margin_ns, LARGEST_MARGIN * self._target_ns)

    def _free_in_ns(self, now_ns: int) -> int:
        """How long until the first instance is free."""
        if len(self._ends_ns) < self._instances:
            return 0
        return max(0, min(self._ends_ns) - now_ns)

    def _cap(self, shape_key: object, part: float) -> int:
        return self._times.largest_batch(shape_key, self._max_rows, self._target_ns * part)

    # --------------------------------------------------------------------------------------------------- going out

    def decide(self, queue: Iterable[Pending], now_ns: int, open_batch: OpenBatch) -> Decision:
        """The requests with the earliest deadlines, up to the cap. A batch is never made smaller for the sake of one
        that is late: under overload all are nearly late, and small batches would make all of them so."""
        first = self._entries[0].pending
        cap = self._cap(first.shape_key, FORMED)
        count = rows = 0
        reason: Reason = "idle"
        for entry in self._entries:
            pending = entry.pending
            if count and rows + pending.rows > cap:
                reason = "full"
                break
            if pending.shape_key != first.shape_key:
                reason = "shape"
                break
            rows += pending.rows
            count += 1
        self._ends_ns.append(now_ns + int(self._times.mean_ns(first.shape_key, rows)))
        return Decision(count, closed=True, reason=reason)

    def __iter__(self) -> Iterator[Pending]:
        return (entry.pending for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, count: int) -> list[Pending]:
        taken = [entry.pending for entry in self._entries[:count]]
        del self._entries[:count]
        self._gone(taken)
        return taken

    def discard_cancelled(self, gone: Iterable[Pending]) -> list[Pending]:
        discarded = [entry.pending for entry in self._entries if entry.pending.cancelled]
        if discarded:
            self._entries = [entry for entry in self._entries if not entry.pending.cancelled]
            self._gone(discarded)
        return discarded

    def next_expiry_ns(self) -> int:
        """When the first request has no time left to run in."""
        if not self._entries:
            return 0
        first = self._entries[0].pending
        return first.deadline_ns - int(self._times.mean_ns(first.shape_key, first.rows))

    def expire(self, now_ns: int) -> list[Pending]:
        expired: list[Pending] = []
        while self._entries and self.next_expiry_ns() <= now_ns:
            expired += self.take(1)
        return expired

    def _gone(self, requests: list[Pending]) -> None:
        for pending in requests:
            self.rows -= pending.rows
            self._byte_size -= pending.byte_size
