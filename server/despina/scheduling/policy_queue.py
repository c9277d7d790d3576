"""A queue with rules: priority levels, and per level a timeout and a limit (config §5.2).

Every level is a queue of its own with two lines: requests in order of arrival, and behind them, in the same order,
those that have waited longer than their timeout but were not refused for it (`DELAY`). Level 1 is served first. Expiry
is exact: one heap of deadlines says when the next request expires, and whoever owns the queue sets a timer for that.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import chain, islice
from operator import attrgetter, itemgetter

from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import QueueLimits, TooLate, queue_full

EstimateWait = Callable[[int], int]
"""Rows ahead → nanoseconds that a request behind them will wait at least, 0 when nobody knows."""


_MANY_LEVELS = 64
"""Levels come with their first request and stay when they are empty, but for those beyond so many: there may be more of
them than memory could hold."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """The rules of one level. `rejects` is the timeout action REJECT, else DELAY. Timeouts of 0 never expire, sizes of
    0 do not limit; `max_queue_size` counts requests."""

    rejects: bool = True
    default_timeout_us: int = 0
    allow_timeout_override: bool = False
    max_queue_size: int = 0

    def timeout_ns(self, pending: Pending) -> int:
        """A request may ask for less than the default, never for more; so without a default it may not ask."""
        default = self.default_timeout_us
        if self.allow_timeout_override and 0 < pending.timeout_us < default:
            return pending.timeout_us * 1000
        return default * 1000


@dataclass(frozen=True, slots=True)
class QueueRules:
    """`priority_levels` 0 means a single queue; levels without a policy of their own follow `default_policy`."""

    default_policy: QueuePolicy = QueuePolicy()
    priority_levels: int = 0
    default_priority_level: int = 0
    level_policies: Mapping[int, QueuePolicy] = field(default_factory=dict)

    @property
    def are_none(self) -> bool:
        """Whether a plain queue does the same. (What the timeout action is without a timeout makes no difference.)"""
        policy = self.default_policy
        limited = policy.default_timeout_us or policy.allow_timeout_override or policy.max_queue_size
        return not limited and not self.priority_levels

    @property
    def any_timeout_rejects(self) -> bool:
        policies = (self.default_policy, *self.level_policies.values())
        return any(policy.rejects and policy.default_timeout_us for policy in policies)


@dataclass(slots=True, eq=False)
class _Level:
    """The requests of one priority, which leave from the middle, too. Of those that are `delayed`, `numbers` tells the
    number of their arrival: any of them may be the next to expire, so their line is a list that is kept sorted."""

    number: int
    policy: QueuePolicy
    unexpired: OrderedDict[Pending, None] = field(default_factory=OrderedDict)
    delayed: list[tuple[int, Pending]] = field(default_factory=list)
    numbers: dict[Pending, int] = field(default_factory=dict)
    rows: int = 0

    def __len__(self) -> int:
        return len(self.unexpired) + len(self.delayed)

    def __iter__(self) -> Iterator[Pending]:
        return chain(self.unexpired, map(_pending_of, self.delayed))

    def __contains__(self, pending: Pending) -> bool:
        return pending in self.unexpired or pending in self.numbers

    def remove(self, pending: Pending) -> None:
        if pending in self.unexpired:
            del self.unexpired[pending]
        else:
            del self.delayed[bisect_left(self.delayed, (self.numbers.pop(pending),))]
        self.rows -= pending.rows

    def delay(self, pending: Pending, number: int) -> None:
        """A request has expired, which came as the one of this number."""
        del self.unexpired[pending]
        self.numbers[pending] = number
        insort(self.delayed, (number, pending))


_pending_of = itemgetter(1)
_number_of = attrgetter("number")


@dataclass(order=True, slots=True)
class _Deadline:
    """An entry of the heap; stale when its request left the queue or is delayed, which sets `pending.deadline_ns` to
    0."""

    deadline_ns: int
    number: int
    pending: Pending = field(compare=False)
    level: _Level = field(compare=False)

    @property
    def stale(self) -> bool:
        return self.pending.deadline_ns == 0


class PolicyQueue:
    """A `RequestQueue` with `rules`. `limits` bound all levels together. With `estimate_wait`, a request that would
    expire before its turn is refused at once."""

    def __init__(self, rules: QueueRules, limits: QueueLimits, estimate_wait: EstimateWait | None = None) -> None:
        self._rules = rules
        self._levels: dict[int, _Level] = {}
        self._in_order: list[_Level] = []
        self._default_level = rules.default_priority_level if rules.priority_levels else 0
        self._limits = limits
        self._estimate_wait = estimate_wait
        self._length = 0
        self.rows = 0
        self._byte_size = 0
        self._deadlines: list[_Deadline] = []
        self._timed = 0
        self._pushed = 0

    # -------------------------------------------------------------------------------------------------- coming in

    def push(self, pending: Pending) -> None:
        """Queue a request whose `queued_ns` is set. Raises QueueFull, TooLate."""
        number = self._level_number(pending)
        level = self._levels.get(number)
        if level is None:
            level = _Level(number, self._rules.level_policies.get(number, self._rules.default_policy))
        self._check_room(pending, level)
        timeout_ns = level.policy.timeout_ns(pending)
        if timeout_ns:
            if level.policy.rejects and self._estimate_wait is not None:
                self._check_in_time(number, timeout_ns, self._estimate_wait)
            pending.deadline_ns = pending.queued_ns + timeout_ns
            heappush(self._deadlines, _Deadline(pending.deadline_ns, self._pushed, pending, level))
            self._timed += 1
        if number not in self._levels:
            self._levels[number] = level
            insort(self._in_order, level, key=_number_of)
        level.unexpired[pending] = None
        level.rows += pending.rows
        self._pushed += 1
        self._length += 1
        self.rows += pending.rows
        self._byte_size += pending.byte_size

    def _level_number(self, pending: Pending) -> int:
        return pending.priority if 1 <= pending.priority <= self._rules.priority_levels else self._default_level

    def _check_room(self, pending: Pending, level: _Level) -> None:
        most = level.policy.max_queue_size
        if most and len(level) >= most:
            raise queue_full(pending)
        exceeded = self._limits.exceeded_by(self.rows + pending.rows, self._byte_size + pending.byte_size)
        if self._length and exceeded:
            raise queue_full(pending)

    def _check_in_time(self, number: int, timeout_ns: int, estimate_wait: EstimateWait) -> None:
        rows = sum(level.rows for level in self._in_order if level.number <= number)
        wait_ns = estimate_wait(rows) if rows else 0
        if wait_ns > timeout_ns:
            raise TooLate(
                f"Request timeout expired: the {rows} rows ahead take at least {wait_ns // 1000} microseconds, the "
                f"timeout is {timeout_ns // 1000}; send fewer requests at a time or allow a longer timeout",
                retry_after=(wait_ns - timeout_ns) / 1e9,
            )

    # --------------------------------------------------------------------------------------------------- going out

    def __iter__(self) -> Iterator[Pending]:
        return chain.from_iterable(self._in_order)

    def __len__(self) -> int:
        return self._length

    def take(self, count: int) -> list[Pending]:
        taken: list[Pending] = []
        while len(taken) < count and self._length:
            level = next(level for level in self._in_order if len(level))
            requests = list(islice(level, count - len(taken)))
            for pending in requests:
                self._remove(pending, level)
            taken += requests
        return taken

    def discard_cancelled(self, gone: Iterable[Pending]) -> list[Pending]:
        discarded: list[Pending] = []
        for pending in gone:
            level = self._levels.get(self._level_number(pending))
            if level is not None and pending in level:
                self._remove(pending, level)
                discarded.append(pending)
        return discarded

    def _remove(self, pending: Pending, level: _Level) -> None:
        level.remove(pending)
        if not len(level) and len(self._levels) > _MANY_LEVELS:
            del self._levels[level.number]
            del self._in_order[bisect_left(self._in_order, level.number, key=_number_of)]
        self._length -= 1
        self.rows -= pending.rows
        self._byte_size -= pending.byte_size
        if pending.deadline_ns:
            self._forget_deadline(pending)

    # ---------------------------------------------------------------------------------------------------- expiring

    def _forget_deadline(self, pending: Pending) -> None:
        """Entries in the middle of the heap stay until they are half of it: so few outlive their requests, and clearing
        them costs little per request."""
        pending.deadline_ns = 0
        self._timed -= 1
        if len(self._deadlines) > 2 * self._timed:
            self._deadlines = [entry for entry in self._deadlines if not entry.stale]
            heapify(self._deadlines)

    def next_expiry_ns(self) -> int:
        while self._deadlines and self._deadlines[0].stale:
            heappop(self._deadlines)
        return self._deadlines[0].deadline_ns if self._deadlines else 0

    def expire(self, now_ns: int) -> list[Pending]:
        refused: list[Pending] = []
        while 0 < self.next_expiry_ns() <= now_ns:
            entry = heappop(self._deadlines)
            pending, level = entry.pending, entry.level
            if level.policy.rejects:
                self._remove(pending, level)
                refused.append(pending)
            else:
                level.delay(pending, entry.number)
                self._forget_deadline(pending)
        return refused
