"""How much memory the bodies that are arriving may take, all connections of a process together.

A large body claims the room for all of it before it is read. When there is none left, its connection is not read any
further until its turn comes: the client sees a slow server, not an error, and what has not been read waits at the
client. Turns are given by age. Nobody overtakes, so a large body is not kept waiting by many small ones.

    waiting     the claim wants more room than it holds
    moving      it holds what it wants, and its sender may send
    given back  the body is where other limits count, or will never come

A body whose length nobody announced claims more room as it grows. Two such bodies could wait for each other, so the
oldest waiting claim gets its room when nothing else is moving, even beyond the limit. That is also how a body that is
larger than the limit gets in: alone. So at most one body is beyond the limit at any time.

Room that is held by somebody who does not send is lost for all others. While somebody waits, senders must keep a pace,
and are given up if they do not; while nobody does, a sender may be as slow as it likes.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from despina.errors import RequestTimeout
from despina.http.usable_memory import usable_memory
from despina.scheduling.clock import Clock, LoopClock, Timer

if TYPE_CHECKING:
    from despina.settings import Settings

SMALLEST_CLAIM = 64 * 1024
"""Bytes of the smallest body that claims room. Smaller ones take no more than what the connection itself costs."""

PATIENCE_NS = 30_000_000_000
"""Over this time senders are watched while somebody waits."""

TURNS = 20
"""In that time must come at least one part in so many of the body: it is then whole within ten minutes."""

DEFAULT_PART = 4
"""Without `--http-max-arriving-bytes`, bodies may take one part in so many of the memory."""


class Sender(Protocol):
    """Where a body comes from."""

    @property
    def arrived(self) -> int:
        """Bytes of the body that have come."""
        ...

    def room_granted(self) -> None:
        """A claim that had to wait holds what it wants."""
        ...

    def room_revoked(self) -> None:
        """The sender is too slow for those who wait behind it. It must give the room back, unless the body is whole."""
        ...


@dataclass(slots=True, eq=False)
class Claim:
    """The room of one body. `held` and `wanted` are bytes."""

    number: int
    sender: Sender
    held: int = 0
    wanted: int = 0
    seen: int = 0
    seen_ns: int = 0

    @property
    def waiting(self) -> bool:
        return self.wanted > self.held

    def look(self, now_ns: int) -> None:
        """Begin to watch the sender."""
        self.seen = self.sender.arrived
        self.seen_ns = now_ns

    def is_slow(self) -> bool:
        """Whether too little has come since the last look."""
        return self.sender.arrived - self.seen < max(1, self.wanted // TURNS)


class BodyBudget:
    """The room, and who holds it. All on the event loop's thread."""

    def __init__(self, limit: int, clock: Clock) -> None:
        """`limit` is in bytes."""
        self.limit = limit
        self.held = 0
        self._clock = clock
        self._next_number = 0
        self._moving: dict[Claim, None] = {}
        self._waiting: list[Claim] = []
        self._watch: Timer | None = None

    @property
    def waiting(self) -> int:
        """Claims that wait."""
        return len(self._waiting)

    def claim(self, sender: Sender, size: int) -> Claim:
        """Room for a body of `size` bytes; where the claim is `waiting`, its sender hears when it is there."""
        claim = Claim(self._next_number, sender)
        self._next_number += 1
        self.grow(claim, size)
        return claim

    def grow(self, claim: Claim, size: int) -> None:
        """The same, for a body that turns out to have at least `size` bytes."""
        self._moving.pop(claim, None)
        claim.wanted = size
        first = not self._waiting or claim.number < self._waiting[0].number
        if first and self._fits(claim):
            self._hold(claim)
            return
        insort(self._waiting, claim, key=_age)
        if self._watch is None:
            self._start_watch()
        # It may have been the only one that moved.
        self._grant()

    def give_back(self, claim: Claim) -> None:
        """The claim is over, whether it waited or not."""
        held = claim.held
        if claim.wanted > held:
            self._waiting.remove(claim)
        else:
            self._moving.pop(claim, None)
        self.held -= held
        claim.held = claim.wanted = 0
        if self._waiting:
            self._grant()

    def _fits(self, claim: Claim) -> bool:
        return self.held + claim.wanted - claim.held <= self.limit or not self._moving

    def _hold(self, claim: Claim) -> None:
        if self._watch is not None and not claim.held:
            claim.look(self._clock.now_ns())
        self.held += claim.wanted - claim.held
        claim.held = claim.wanted
        self._moving[claim] = None

    def _grant(self) -> None:
        now_ns = self._clock.now_ns()
        while self._waiting and self._fits(self._waiting[0]):
            claim = self._waiting.pop(0)
            self._hold(claim)
            claim.look(now_ns)
            claim.sender.room_granted()

    # -------------------------------------------------------------------------------------------------- slow senders

    def _start_watch(self) -> None:
        now_ns = self._clock.now_ns()
        for claim in self._moving:
            claim.look(now_ns)
        self._watch = self._clock.call_at(now_ns + PATIENCE_NS, self._look_again)

    def _look_again(self) -> None:
        if not self._waiting:
            self._watch = None
            return
        now_ns = self._clock.now_ns()
        for claim in [claim for claim in self._moving if now_ns - claim.seen_ns >= PATIENCE_NS]:
            slow = claim.is_slow()
            claim.look(now_ns)
            # Those before it may have made room for everybody.
            if slow and self._waiting:
                claim.sender.room_revoked()
        next_ns = min((claim.seen_ns for claim in self._moving), default=now_ns) + PATIENCE_NS
        self._watch = self._clock.call_at(next_ns, self._look_again)


_age = attrgetter("number")


def too_slow(arrived: int, announced: int | None) -> RequestTimeout:
    """What a sender is told whose room was taken away."""
    expected = "a body" if announced is None else f"a body of {announced} bytes"
    return RequestTimeout(
        f"request body arrives too slowly: expected {expected}, of which at least one part in {TURNS} must come every "
        f"{PATIENCE_NS // 1_000_000_000} seconds while other requests wait for its memory; got {arrived} bytes until "
        "now. Send it without pauses, or start the server with a larger --http-max-arriving-bytes."
    )


def body_budget(settings: Settings) -> BodyBudget | None:
    """The budget of one process on the running event loop; None for no limit. Several front ends, and the process with
    the models behind them, have an equal share each."""
    limit = settings.http_max_arriving_bytes
    if limit is None:
        limit = usable_memory() // DEFAULT_PART
    if limit == 0:
        return None
    processes = settings.http_workers + 1 if settings.http_workers > 1 else 1
    return BodyBudget(max(1, limit // processes), LoopClock(asyncio.get_running_loop()))
