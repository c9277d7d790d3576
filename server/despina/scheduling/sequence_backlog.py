"""Sequences that wait for a slot, first come, first served, each until the earliest timeout of its requests."""

from heapq import heappop, heappush
from itertools import count

from despina.scheduling.sequence import Sequence


class Backlog:
    """Iterates in the order of arrival."""

    def __init__(self) -> None:
        self._sequences: dict[Sequence, None] = {}
        self._expiries: list[tuple[int, int, Sequence]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._sequences)

    @property
    def queued(self) -> int:
        """Requests of all sequences."""
        return sum(len(sequence.queue) for sequence in self._sequences)

    def append(self, sequence: Sequence) -> None:
        self._sequences[sequence] = None

    def limit(self, sequence: Sequence, expires_ns: int) -> None:
        """The sequence gives up at `expires_ns`, if not earlier."""
        heappush(self._expiries, (expires_ns, next(self._numbers), sequence))

    def pop(self) -> Sequence:
        """The sequence that has waited longest."""
        sequence = next(iter(self._sequences))
        self.remove(sequence)
        return sequence

    def remove(self, sequence: Sequence) -> None:
        """Does nothing for a sequence that is not here."""
        self._sequences.pop(sequence, None)

    def expired(self, now_ns: int) -> list[Sequence]:
        """Remove and return the sequences that have given up."""
        expired: list[Sequence] = []
        while 0 < self.next_expiry_ns() <= now_ns:
            sequence = heappop(self._expiries)[2]
            self.remove(sequence)
            expired.append(sequence)
        return expired

    def next_expiry_ns(self) -> int:
        """When `expired` has something to say; 0 for never."""
        # A later limit of the same sequence comes up after the sequence has left, so it needs no care of its own.
        while self._expiries and self._expiries[0][2] not in self._sequences:
            heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else 0
