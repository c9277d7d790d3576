"""Frames on the channel between a front end and its owner.

A frame is a fixed head and up to two pieces of bytes behind it. What the fields mean depends on the kind:

    kind       number    offset           extra                body
    INFER      group     slot of inputs                        RequestKind (JSON), that of all `requests`
    CANCEL     group
    EXCHANGE   exchange  place if large   target (JSON)        that of a request as it came, empty if it is large
    ABANDON    exchange
    RELEASE              slot of results
    ASK                                                        [name, version or null]
    LISTENING
    PONG                                                                         the answer to PING
    RESULT     group     slot of results  response parameters  layout of the results (JSON)
    FAILED     group                                           [word, message, retry after or null]
    ELSEWHERE  group                                                             its requests are for the owner itself
    REPLY      exchange  slot if large    its head (JSON)      that of the reply, empty if it is large
    MODEL                                 configuration        description (JSON), of a model that was asked for
    LOG                                                        what is logged from now on (JSON)
    PING
    STOP

The target of an exchange is [model, version or null, length of the JSON or null, size], the head of its reply [status,
length of the JSON or 0, retry after or null, size]. Large is what has more than 64 KiB, and lies in shared memory.

Requests travel in groups of one or more that run together (`gathering`). Ids of requests do not travel.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple, Protocol

INFER, CANCEL, EXCHANGE, ABANDON, RELEASE, ASK, LISTENING, PONG = range(8)
RESULT, FAILED, ELSEWHERE, REPLY, MODEL, LOG, PING, STOP = range(8, 16)

_HEAD = Struct("<IIQIBxH")
"""Bytes behind the head, number, offset, bytes of `extra`, kind, requests of a group."""

NUMBERS = 1 << 32
"""Groups are numbered below this, and so are exchanges."""
MAX_GROUP = (1 << 16) - 1
"""More requests do not fit a group."""


class Frame(NamedTuple):
    """One message."""

    kind: int
    number: int
    offset: int
    extra: bytes
    body: bytes
    requests: int


class Write(Protocol):
    """Sends a frame to the other side."""

    def __call__(self, kind: int, number: int = 0, offset: int = 0, extra: bytes = b"", body: bytes = b"") -> None: ...


def frame(
    kind: int, number: int = 0, offset: int = 0, extra: bytes = b"", body: bytes = b"", requests: int = 0
) -> bytes:
    """A frame as it goes on the channel."""
    return _HEAD.pack(len(extra) + len(body), number, offset, len(extra), kind, requests) + extra + body


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
            size, number, offset, extra, kind, requests = _HEAD.unpack_from(data, position)
            start = position + _HEAD.size
            if end - start < size:
                break
            position = start + size
            yield Frame(kind, number, offset, data[start : start + extra], data[start + extra : position], requests)
        self._rest = data[position:]
