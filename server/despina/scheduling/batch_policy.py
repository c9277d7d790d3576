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
from dataclasses import dataclass, field
from typing import Literal, Protocol

Reason = Literal["idle", "full", "preferred", "delay", "shape", "single"]
"""What closed a batch, or let it go: nothing more was queued; `max_batch_size`; a preferred size; the oldest request
had waited long enough; the next request does not fit together with these; the model takes requests one by one."""


class Candidate(Protocol):
    """What a decision looks at."""

    rows: int
    shape_key: object
    queued_ns: int


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """`preferred_batch_sizes` ascending, in rows; empty means just `max_batch_size`. The sizes at which a scan may stop
    and the largest of them are kept because every decision needs them."""

    max_batch_size: int
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_ns: int = 0
    stops: tuple[int, ...] = field(init=False)
    largest_stop: int = field(init=False)

    def __post_init__(self) -> None:
        stops = self.preferred_batch_sizes or (self.max_batch_size,)
        object.__setattr__(self, "stops", stops)
        object.__setattr__(self, "largest_stop", stops[-1])


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A formed batch that may still grow. Empty when there is none."""

    rows: int = 0
    shape_key: object = None


NO_BATCH = OpenBatch()


@dataclass(slots=True)
class Decision:
    """Move `take` requests into the batch and close it if `closed`; or, with `take` 0, look again at `wake_ns`. One per
    batch: frozen, it would take 0.3 µs more."""

    take: int
    closed: bool = False
    wake_ns: int = 0
    reason: Reason = "idle"


ALONE = Decision(1, closed=True, reason="single")
"""The decision of models without dynamic batching: every request is an execution of its own."""


@dataclass(slots=True)
class _Scan:
    """Where scanning the queue ended: `count` requests that bring the batch to `total` rows; the best stop so far as
    requests and rows; where there is a delay, when the oldest of them was queued; why scanning ended before the queue
    did."""

    total: int
    count: int = 0
    best: int = 0
    best_total: int = 0
    oldest_ns: int = 0
    exceeds_preferred: bool = False
    ended_by: Reason | None = None


def next_batch(
    queue: Iterable[Candidate], now_ns: int, policy: BatchPolicy, open_batch: OpenBatch = NO_BATCH
) -> Decision:
    """Decide on the next batch from `queue`, in order, given the batch that is still open."""
    scan = _scan(queue, policy, open_batch)
    delay = policy.max_queue_delay_ns
    waited = delay == 0 or now_ns - scan.oldest_ns >= delay
    if scan.best and (delay == 0 or not waited):
        closed = delay == 0 or scan.exceeds_preferred or scan.ended_by == "shape"
        return Decision(scan.best, closed, reason=_stop_reason(scan, policy))
    if scan.count == 0:
        return Decision(0, scan.ended_by is not None, reason=scan.ended_by or "idle")
    if scan.ended_by is not None:
        return Decision(scan.count, closed=True, reason=scan.ended_by)
    if scan.total >= policy.largest_stop:
        full = scan.total >= policy.max_batch_size
        return Decision(
            scan.count, closed=True, reason="full" if full else "delay" if waited and delay else "preferred"
        )
    if waited:
        return Decision(scan.count, reason="delay" if delay else "idle")
    if open_batch.rows and open_batch.rows not in policy.preferred_batch_sizes:
        return Decision(scan.count)
    return Decision(0, wake_ns=scan.oldest_ns + delay)


def _stop_reason(scan: _Scan, policy: BatchPolicy) -> Reason:
    limit = policy.largest_stop if scan.exceeds_preferred else scan.best_total
    return "full" if limit == policy.max_batch_size else "preferred"


def _scan(queue: Iterable[Candidate], policy: BatchPolicy, open_batch: OpenBatch) -> _Scan:
    total = open_batch.rows
    scan = _Scan(total)
    shape_key = open_batch.shape_key
    stops, largest, maximum = policy.stops, policy.largest_stop, policy.max_batch_size
    waits = policy.max_queue_delay_ns > 0
    count = 0
    for candidate in queue:
        after = total + candidate.rows
        if total:
            if after > largest and not scan.best:
                scan.best, scan.best_total = count, total
                scan.exceeds_preferred = True
            if after > maximum:
                scan.ended_by = "full"
                break
            if candidate.shape_key != shape_key:
                scan.ended_by = "shape"
                break
        else:
            shape_key = candidate.shape_key
        # In a queue with priorities the oldest may be anywhere.
        if waits and (not count or candidate.queued_ns < scan.oldest_ns):
            scan.oldest_ns = candidate.queued_ns
        total = after
        count += 1
        if total in stops:
            scan.best, scan.best_total = count, total
            if total == maximum:
                break
    scan.count, scan.total = count, total
    return scan
