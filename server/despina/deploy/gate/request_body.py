"""The body of a request: how much of it came, and what of it may have to be sent to another upstream again."""

from despina.deploy.gate.chunks import LAST_CHUNK, chunk

REPLAYED_BYTES = 1 << 16
"""A body up to this size is kept until the response begins, to be sent again if a reused connection was just closed."""


class RequestBody:
    """`length` is what the head announces, None for a body in chunks; `received` leaves out what frames these.

    As long as there is no upstream to send them to, all pieces are kept.
    """

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.received = 0
        self.complete = False
        self._kept: list[bytes] = []
        self._framed_bytes = 0

    @property
    def left(self) -> int:
        """How many bytes are still to come; 0 where nobody can know."""
        return max(0, (self.length or 0) - self.received)

    @property
    def soon_read(self) -> bool:
        """Whether reading the rest is cheaper than a new connection of the client."""
        return self.complete or (self.length is not None and self.length <= REPLAYED_BYTES)

    @property
    def replayable(self) -> bool:
        """Whether all that came so far is still kept."""
        return self._framed_bytes <= REPLAYED_BYTES

    def framed(self, data: bytes) -> bytes:
        """A piece as it goes to the upstream."""
        return chunk(data) if self.length is None else data

    @property
    def end(self) -> bytes:
        """What goes to the upstream behind the last piece."""
        return LAST_CHUNK if self.length is None else b""

    def keep(self, piece: bytes, *, sent: bool) -> None:
        """A framed piece, which may have been sent already."""
        self._framed_bytes += len(piece)
        if self.replayable or not sent:
            self._kept.append(piece)
        else:
            self._kept.clear()

    def kept(self) -> bytes:
        """What a new upstream has to get first."""
        return b"".join(self._kept)

    def stalled(self, seconds: float) -> str:
        """What to say where nothing of it came for so long."""
        expected = "a last chunk" if self.length is None else f"{self.length} bytes"
        return (
            f"nothing of the body came for {seconds:g} s: expected {expected}, got {self.received} bytes; "
            "send all of it, without such a pause"
        )
