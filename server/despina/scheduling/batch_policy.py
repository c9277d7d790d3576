"""Which of the queued requests make the next batch: the dynamic batcher's rules as a pure function.

Sizes count rows, not requests, and a request is never split. Let the *open batch* be one that is formed but that no
instance has started: later requests may still join it. Scanning the queue in order, the candidates end

- before a request that would exceed `max_batch_size`, or whose shapes differ (no look-ahead past it: order is kept);
- at the largest preferred size that can be reached exactly, if there is one.

Without a delay whatever has piled up goes at once. With a delay the batch waits until a preferred size (default:
`max_batch_size`) is reached or until its oldest request has waited `max_queue_delay_ns`; then everything scanned goes,
preferred or not. Source: Triton's model configuration documentation, section "Dynamic Batcher".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Candidate(Protocol):
    """What a decision looks at."""

    rows: int
    shape_key: object
    queued_ns: int


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """`preferred_batch_sizes` ascending, in rows; empty means just `max_batch_size`."""

    max_batch_size: int
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_ns: int = 0

    @property
    def largest_preferred(self) -> int:
        return self.preferred_batch_sizes[-1] if self.preferred_batch_sizes else self.max_batch_size


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A formed batch that may still grow. Empty when there is none."""

    rows: int = 0
    shape_key: object = None


NO_BATCH = OpenBatch()


@dataclass(frozen=True, slots=True)
class Decision:
    """Move `take` requests into the batch and close it if `closed`; or, with `take` 0, look again at `wake_ns`.

    `reason` says what decided: `idle` (nothing more was queued), `full` (a preferred or the maximum size), `delay` (the
    oldest waited long enough), `shape` (the next request does not fit together with these).
    """

    take: int
    closed: bool = False
    wake_ns: int = 0
    reason: str = "idle"


@dataclass(slots=True)
class _Scan:
    """Where scanning the queue ended: `count` requests of `rows` rows, the best preferred stop so far, why it ended."""

    count: int = 0
    rows: int = 0
    best: int = 0
    oldest_ns: int = 0
    exceeds_preferred: bool = False
    ended_by: str = ""


def next_batch(queue: Iterable[Candidate], now_ns: int, policy: BatchPolicy, open_batch: OpenBatch = NO_BATCH) -> Decision:
    """Decide on the next batch from `queue`, in order, given the batch that is still open."""
    scan = _scan(queue, policy, open_batch)
    delay = policy.max_queue_delay_ns
    waited = delay == 0 or now_ns - scan.oldest_ns >= delay
    if scan.best and (delay == 0 or not waited):
        return Decision(scan.best, delay == 0 or scan.exceeds_preferred or scan.ended_by != "", reason="full")
    if scan.count == 0:
        return Decision(0, closed=scan.ended_by != "")
    if scan.ended_by:
        return Decision(scan.count, closed=True, reason=scan.ended_by)
    total = open_batch.rows + scan.rows
    if total >= policy.largest_preferred:
        return Decision(scan.count, closed=True, reason="full")
    if waited:
        return Decision(scan.count, reason="delay" if delay else "idle")
    if open_batch.rows and open_batch.rows not in policy.preferred_batch_sizes:
        return Decision(scan.count)
    return Decision(0, wake_ns=scan.oldest_ns + delay)


def _scan(queue: Iterable[Candidate], policy: BatchPolicy, open_batch: OpenBatch) -> _Scan:
    scan = _Scan()
    rows = open_batch.rows
    shape_key = open_batch.shape_key
    preferred = policy.preferred_batch_sizes or (policy.max_batch_size,)
    for candidate in queue:
        if rows:
            if rows + candidate.rows > preferred[-1] and not scan.best:
                scan.best = scan.count
                scan.exceeds_preferred = True
            if rows + candidate.rows > policy.max_batch_size:
                scan.ended_by = "full"
                break
            if candidate.shape_key != shape_key:
                scan.ended_by = "shape"
                break
        else:
            shape_key = candidate.shape_key
        if not scan.count:
            scan.oldest_ns = candidate.queued_ns
        rows += candidate.rows
        scan.count += 1
        scan.rows += candidate.rows
        if rows in preferred:
            scan.best = scan.count
            if rows >= preferred[-1] and rows == policy.max_batch_size:
                break
    return scan
