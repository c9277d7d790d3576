"""What goes to the peer, no more at a time than it takes (RFC 9113 §5.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from despina.grpc.http2.frames import (
    DEFAULT_WINDOW,
    HEAD,
    LEAST_MAX_FRAME,
    MAX_WINDOW,
    ErrorCode,
    Flag,
    Kind,
    ProtocolError,
    frame,
    window_update,
)
from despina.grpc.http2.stream import Buffer, Stream

_LAST = Flag.END_HEADERS | Flag.END_STREAM


class Sending:
    """The sending half of a connection. `write` takes what goes out, `finished` hears of each stream whose answer is
    complete."""

    def __init__(self, write: Callable[[bytes], None], finished: Callable[[Stream], None]) -> None:
        self._write = write
        self._finished = finished
        self._window = DEFAULT_WINDOW
        self.max_frame = LEAST_MAX_FRAME
        self.initial_window = DEFAULT_WINDOW
        self._blocked: dict[Stream, None] = {}

    def answer(self, stream: Stream, headers: bytes, message: Sequence[Buffer], size: int, trailers: bytes) -> None:
        """See `Stream.answer`. What fits into the windows and one frame, as most answers do, is one write."""
        if size > self.max_frame or size > self._window or size > stream.send_window:
            self.headers(stream, headers)
            self.data(stream, message)
            self.end(stream, trailers)
            return
        self._window -= size
        number = stream.id
        begin = HEAD.pack(0, len(headers), Kind.HEADERS, Flag.END_HEADERS, number)
        middle = HEAD.pack(size >> 16, size & 0xFFFF, Kind.DATA, 0, number)
        end = HEAD.pack(0, len(trailers), Kind.HEADERS, _LAST, number)
        self._write(b"".join((begin, headers, middle, *message, end, trailers)))
        self._finished(stream)

    def headers(self, stream: Stream, headers: bytes) -> None:
        """See `Stream.send_headers`."""
        self._write(frame(Kind.HEADERS, Flag.END_HEADERS, stream.id, headers))

    def data(self, stream: Stream, message: Sequence[Buffer]) -> None:
        """See `Stream.send`."""
        stream.blocked.extend(piece for piece in message if len(piece))
        stream.unsent += sum(map(len, message))
        self._send_blocked(stream)

    def end(self, stream: Stream, trailers: bytes) -> None:
        """See `Stream.end`."""
        if stream.blocked:
            stream.trailers = trailers
            return
        self._write(frame(Kind.HEADERS, _LAST, stream.id, trailers))
        self._finished(stream)

    def grant(self, stream: Stream, size: int) -> None:
        """See `Stream.grant`."""
        self._write(window_update(stream.id, size))

    def drop(self, stream: Stream) -> None:
        """Nobody takes what is left of the stream's answer."""
        stream.blocked.clear()
        self._blocked.pop(stream, None)

    # ------------------------------------------------------------------------------------------- what the peer takes

    def window_grows(self, increment: int) -> None:
        """The peer takes more on all streams together."""
        self._window += increment
        if self._window > MAX_WINDOW:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "the window of the connection is too large")
        self._resume()

    def stream_grows(self, stream: Stream, increment: int) -> None:
        """The peer takes more on one stream."""
        stream.send_window += increment
        if stream.send_window > MAX_WINDOW:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, f"the window of stream {stream.id} is too large")
        if stream.blocked:
            self._go_on(stream)

    def initial_window_is(self, size: int, streams: Sequence[Stream]) -> None:
        """The peer takes so much on new streams, and by so much more or less on those that are open."""
        growth, self.initial_window = size - self.initial_window, size
        for stream in streams:
            self.stream_grows(stream, growth)

    def _resume(self) -> None:
        for stream in list(self._blocked):
            if self._window <= 0:
                return
            self._go_on(stream)

    def _go_on(self, stream: Stream) -> None:
        self._send_blocked(stream)
        if not stream.blocked and stream.receiver is not None:
            stream.receiver.sent()

    def _send_blocked(self, stream: Stream) -> None:
        """Send what the windows allow. A stream that is blocked by the connection's goes behind the others."""
        self._blocked.pop(stream, None)
        pieces: list[Buffer] = []
        while stream.blocked:
            room = min(self._window, stream.send_window, self.max_frame)
            if room <= 0:
                break
            payload = _take(stream.blocked, room)
            size = sum(map(len, payload))
            self._window -= size
            stream.send_window -= size
            stream.unsent -= size
            pieces.append(HEAD.pack(size >> 16, size & 0xFFFF, Kind.DATA, 0, stream.id))
            pieces += payload
        if pieces:
            self._write(b"".join(pieces))
        if stream.blocked:
            if stream.send_window > 0:
                self._blocked[stream] = None
        elif stream.trailers is not None:
            self.end(stream, stream.trailers)


def _take(blocked: deque[Buffer], room: int) -> list[Buffer]:
    """At most `room` bytes from the front."""
    taken: list[Buffer] = []
    while blocked and room > 0:
        piece = blocked[0]
        if len(piece) <= room:
            taken.append(blocked.popleft())
            room -= len(piece)
        else:
            taken.append(memoryview(piece)[:room])
            blocked[0] = memoryview(piece)[room:]
            room = 0
    return taken
