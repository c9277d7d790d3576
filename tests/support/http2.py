"""The client's end of an HTTP/2 connection without a socket."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from hpack import Decoder, Encoder

from despina.grpc.http2.connection import Connection
from despina.grpc.http2.frames import HEAD, PREFACE, Flag, Kind, frame


class Frame(NamedTuple):
    """One that the server has sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frames(data: bytes) -> Iterator[Frame]:
    """All of them; there must be nothing else."""
    position = 0
    while position < len(data):
        upper, lower, kind, flags, stream = HEAD.unpack_from(data, position)
        end = position + HEAD.size + (upper << 16 | lower)
        assert end <= len(data)
        yield Frame(kind, flags, stream, data[position + HEAD.size : end])
        position = end


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False
        self.paused = False
        self.protocol: asyncio.BaseProtocol | None = None
        """Who has taken the connection over."""

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    writelines = None

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str) -> None:
        """There is no socket to tell of."""

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


@dataclass(slots=True)
class Answer:
    """What came on one stream: headers and trailers, the data between them, and the code it was reset with."""

    headers: dict[str, str]
    trailers: dict[str, str]
    data: bytes
    ended: bool = False
    reset: int | None = None


class Client:
    """A client of one connection of `service`, which may have made it, on the running event loop. It has sent its
    preface and settings unless it is not `greeted`."""

    def __init__(self, service: Any, *, greeted: bool = True, connection: Connection[Any] | None = None) -> None:
        self.transport = Transport()
        self.connection: Connection[Any] = connection or Connection(service)
        self.connection.connection_made(cast("Any", self.transport))
        self.encoder = Encoder()
        self._decoder = Decoder()
        self.answers: dict[int, Answer] = {}
        self.control: list[Frame] = []
        """What has come that is part of no answer, settings and the growth of windows aside."""
        if greeted:
            self.send(PREFACE + frame(Kind.SETTINGS, 0, 0))

    def send(self, *data: bytes) -> None:
        """Send bytes, each of `data` in a read of its own."""
        for piece in data:
            self.connection.data_received(piece)

    def headers(self, stream: int, headers: dict[str, str], flags: int = 0) -> bytes:
        """A frame with all of the headers."""
        block = self.encoder.encode(list(headers.items()))
        return frame(Kind.HEADERS, Flag.END_HEADERS | flags, stream, block)

    def request(self, stream: int, headers: dict[str, str], data: bytes) -> bytes:
        """A whole request."""
        return self.headers(stream, headers) + frame(Kind.DATA, Flag.END_STREAM, stream, data)

    def read(self) -> list[Frame]:
        """The frames that have come since the last time. Pings are answered, and what comes of that is there, too."""
        found: list[Frame] = []
        while self.transport.written:
            data = bytes(self.transport.written)
            self.transport.written.clear()
            for one in frames(data):
                found.append(one)
                self._take(one)
                if one.kind == Kind.PING and not one.flags & Flag.ACK:
                    self.send(frame(Kind.PING, Flag.ACK, 0, one.payload))
        return found

    def answer(self, stream: int) -> Answer:
        """What has come on a stream until now."""
        self.read()
        return self.answers.setdefault(stream, Answer({}, {}, b""))

    def _take(self, one: Frame) -> None:
        if one.kind in (Kind.SETTINGS, Kind.WINDOW_UPDATE):
            return
        if one.stream == 0:
            self.control.append(one)
            return
        answer = self.answers.setdefault(one.stream, Answer({}, {}, b""))
        assert not answer.ended or one.kind == Kind.RST_STREAM
        if one.kind == Kind.DATA:
            answer.data += one.payload
        elif one.kind == Kind.RST_STREAM:
            answer.reset = int.from_bytes(one.payload)
        else:
            block = {str(name): str(value) for name, value in self._decoder.decode(one.payload)}
            (answer.trailers if answer.headers else answer.headers).update(block)
        if one.kind != Kind.RST_STREAM:
            answer.ended = bool(one.flags & Flag.END_STREAM)
