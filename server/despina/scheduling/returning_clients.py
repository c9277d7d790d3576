"""Waiting for the clients of a short model that have just been answered: they are likely to ask again at once.

- Until the first of them does, the loop stays awake. Going to sleep and being woken up takes a good part of
  what such a model takes itself.
- From then on the next batch waits for the others. While one batch runs on the loop's thread, some ask; they would run
  next, while those just answered ask again, and so on in two groups. For models so short that they run on the loop, a
  batch of all clients takes hardly longer than one of half of them.

Either lasts no longer than the way to a client and back takes, and is left out for some batches after it was in vain.
Nobody waits for clients who are not known, as those of front ends: by themselves they come in groups, and their front
ends have better use for the core.
"""

from collections.abc import Iterable, Sequence
from sys import maxsize

from despina.scheduling.pending import Pending

AWAKE_NS = 100_000
WAIT_NS = 60_000
SKIPPED = 2
MOST_SKIPPED = 32
"""So many batches without a wait after one that was in vain: twice as many each time, and one less each time that those
came who were waited for. Clients that ask again at once hardly ever stay away, those that come at random often do."""


class ReturningClients:
    """Whether a batch should wait a moment for its clients."""

    def __init__(self) -> None:
        self._ran = 0
        self._full = maxsize
        self._answered: set[object] = set()
        self._expected = 0
        self._first = _Wait(AWAKE_NS)
        self._others = _Wait(WAIT_NS)

    def ran(self, requests: Sequence[Pending], full: bool = False) -> None:
        """A batch of these requests has run on the loop's thread; none for one that runs elsewhere. `full`: no more
        fitted into it. At the next turn those are seen who asked in the meantime, and those who were answered first and
        have asked again already."""
        self._full = len(requests) if full else maxsize
        self._answered = {pending.client for pending in requests if pending.client is not None}
        self._ran = len(self._answered)
        self._expected = 0

    def waits(self, queue: Iterable[Pending], pending: int, now_ns: int) -> bool:
        """Whether to wait for more than the requests that are `pending`, those in the `queue` among them, and be asked
        about it again at once."""
        if self._ran and pending >= self._full:
            # The next batch is full without anybody more, and the queue may be far too long to be looked through.
            self._ran = 0
            self._answered.clear()
        if self._ran:
            again = sum([each.client in self._answered for each in queue])
            self._expected = self._ran + pending - again
            self._ran = 0
            self._answered.clear()
            self._first.begin_round()
            self._others.begin_round()
        if pending >= self._expected:
            return False
        return (self._others if pending else self._first).lasts(pending, now_ns)


class _Wait:
    """One wait a round. `_until_ns` is when it ends, 0 before it has begun, negative if it was in vain or left out."""

    __slots__ = ("_before", "_limit_ns", "_next_skip", "_skip", "_until_ns")

    def __init__(self, limit_ns: int) -> None:
        self._until_ns = 0
        self._limit_ns = limit_ns
        self._next_skip = SKIPPED
        self._before = 0
        self._skip = 0

    def begin_round(self) -> None:
        if self._until_ns > 0:
            self._next_skip = max(SKIPPED, self._next_skip - 1)
        self._until_ns = 0

    def lasts(self, pending: int, now_ns: int) -> bool:
        """Whether to wait on."""
        if now_ns < self._until_ns:
            return True
        if self._until_ns < 0:
            return False
        if self._until_ns:
            if pending == self._before:
                self._skip = self._next_skip
                self._next_skip = min(2 * self._next_skip, MOST_SKIPPED)
        elif self._skip:
            self._skip -= 1
        else:
            self._until_ns = now_ns + self._limit_ns
            self._before = pending
            return True
        self._until_ns = -1
        return False
