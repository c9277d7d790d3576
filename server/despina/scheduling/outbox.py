"""Answers that leave together.

Each answer that is written wakes its client, who may take a core from the server while it makes the other answers of
the batch. So those of a large batch are put aside until all are ready, and are written one right after the other.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_log = logging.getLogger(__name__)


class Writer(Protocol):
    """A connection."""

    def write(self, data: bytes, /) -> None: ...


class Outbox:
    """Where everything passes that a server writes to its connections as the answer to a request."""

    def __init__(self) -> None:
        self._held: dict[Writer, list[bytes]] | None = None

    def put(self, writer: Writer, data: bytes) -> None:
        """Write `data`, now or with what it leaves together with."""
        if self._held is None:
            writer.write(data)
        else:
            self._held.setdefault(writer, []).append(data)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is put here meanwhile leaves at the end."""
        if self._held is not None:
            yield
            return
        held = self._held = {}
        try:
            yield
        finally:
            self._held = None
            for writer, pieces in held.items():
                try:
                    writer.write(b"".join(pieces))
                except Exception:
                    # One answer that cannot be delivered must not cost the others theirs.
                    _log.exception("an answer could not be written")
