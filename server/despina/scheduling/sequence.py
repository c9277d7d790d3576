"""A sequence of requests that must run one after another, and the place it has on an instance."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from despina.scheduling.pending import Pending
from despina.scheduling.permits import Permits
from despina_backends.base import Array


@dataclass(slots=True, eq=False)
class Sequence:
    """A sequence between its first and its last request.

    `queue` holds the requests that have not been handed on, in order. `slot` is None in the backlog. `states` are the
    implicit states of one row, in the order of the plan.
    """

    id: int | str
    states: tuple[Array, ...]
    queue: deque[Pending] = field(default_factory=deque)
    slot: Slot | None = None


@dataclass(slots=True, eq=False)
class Slot:
    """Room for one sequence on an instance. `in_flight`: a request of this slot is with the instance's batcher, perhaps
    the last one of the sequence that had the slot before. `last_id` is that of the sequence that left it last."""

    instance: SequenceInstance
    number: int
    sequence: Sequence | None = None
    in_flight: bool = False
    last_id: int | str = 0

    def take(self, sequence: Sequence) -> None:
        sequence.slot = self
        self.sequence = sequence


class SequenceInstance(Protocol):
    """A model instance with its slots. `running`: an execution is under way. `permits` are there when a rate limiter
    has a say."""

    slots: list[Slot]
    running: bool
    permits: Permits | None

    @property
    def queued(self) -> int:
        """How many requests could run now, if the instance were free and nothing else were to be waited for."""
        ...

    def arrived(self, slot: Slot) -> None:
        """The sequence of a slot has a request more, or the slot has a sequence that has requests."""
        ...

    def withdraw(self, sequence: Sequence) -> list[Pending]:
        """Take back what has been handed on of a sequence and not been started."""
        ...

    def run(self, now_ns: int) -> int:
        """Start what can be started. Returns when to look again; 0 when something else will happen first."""
        ...
