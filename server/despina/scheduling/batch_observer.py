"""What a batcher tells those who measure."""

from typing import Protocol


class BatchObserver(Protocol):
    """Somebody who wants to know how long things take."""

    def batch_done(self, shape_key: object, rows: int, taken_ns: int) -> None:
        """A batch of `rows` has run; `shape_key` is that of its requests."""
        ...

    def turn_taken(self, taken_ns: int) -> None:
        """So long passed between the first request of a turn and its end. Requests that came to a socket meanwhile
        have waited without being seen."""
        ...
