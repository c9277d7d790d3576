"""Frames on the channel between a front end and its owner.

A frame is a fixed head and up to two pieces of bytes behind it. What the fields mean depends on the kind:

    kind       number   offset           extra                 body
    INFER      request  slot of inputs   id of the request     RequestKind (JSON)
    CANCEL     request
    RELEASE             slot of results
    ASK                                                        [name, version or null]
    LISTENING
    PONG                                                                         the answer to PING
    RESULT     request  slot of results  response parameters   layout of the results (JSON)
    FAILED     request                                         [word, message, retry after or null]
    ELSEWHERE  request                                                           the request belongs to the application
    MODEL                                configuration         description (JSON), of a model that was asked for
    LOG                                                        what is logged from now on (JSON)
    PING
    STOP
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

INFER, CANCEL, RELEASE, ASK, LISTENING, PONG, RESULT, FAILED, ELSEWHERE, MODEL, LOG, PING, STOP = range(13)

_HEAD = Struct("<IIQIB3x")
"""Bytes behind the head, number, offset, bytes of `extra`, kind."""

NUMBERS = 1 << 32
"""Requests are numbered below this."""


class Frame(NamedTuple):
    """One message."""

    kind: int
    number: int
    offset: int
    extra: bytes
    body: bytes


def frame(kind: int, number: int = 0, offset: int = 0, extra: bytes = b"", body: bytes = b"") -> bytes:
    """A frame as it goes on the channel."""
    return _HEAD.pack(len(extra) + len(body), number, offset, len(extra), kind) + extra + body


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with `data`. Must be read to the end."""
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        while end - position >= _HEAD.size:
            size, number, offset, extra, kind = _HEAD.unpack_from(data, position)
            start = position + _HEAD.size
            if end - start < size:
                break
            position = start + size
            yield Frame(kind, number, offset, data[start : start + extra], data[start + extra : position])
        self._rest = data[position:]
