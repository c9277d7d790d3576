"""A connection of HTTP/2: frames in, streams of requests and answers out (RFC 9113).

What a client can make the server keep is bounded: header blocks and open streams are counted, data must stay within the
windows, and nothing is read while the client does not read what it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, cast

from despina.grpc.http2.frame_reader import MAX_FRAME, FrameReader
from despina.grpc.http2.frames import (
    DEFAULT_WINDOW,
    LEAST_MAX_FRAME,
    MAX_WINDOW,
    SETTING,
    STREAM_IDS,
    ErrorCode,
    Flag,
    Kind,
    ProtocolError,
    Setting,
    frame,
    goaway,
    rst_stream,
    settings,
    window_update,
)
from despina.grpc.http2.header_blocks import HeaderBlocks
from despina.grpc.http2.header_frames import HeaderFrames, unpadded
from despina.grpc.http2.leave import Leave
from despina.grpc.http2.sending import Sending
from despina.grpc.http2.service import H, Service
from despina.grpc.http2.stream import Stream
from despina.lingering import LingeringTransport

MAX_STREAMS = 1024
"""Requests that a client may have under way on one connection; its library keeps the others."""

STREAM_WINDOW = 64 * 1024
"""Bytes of a request that may come before it is known what to do with it."""

CONNECTION_WINDOW = 16 * 1024 * 1024
"""Bytes that may come, on all streams together, before they are looked at."""

MANY_FRAMES = 512
"""In a read, behind which others have their turn: there is probably more to come."""


class Connection(asyncio.Protocol, Generic[H]):
    """One connection."""

    def __init__(self, service: Service[H]) -> None:
        self._service = service
        self._blocks = HeaderBlocks(service.read_headers)
        self._reader = FrameReader(self._read_frame)
        self._sending = Sending(self._write, self._finished)
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0
        self._consumed = 0
        self._header_frames = HeaderFrames(self._take_headers)
        self._leave = Leave(self._write, lambda: self._last_stream, self._left)
        self._server_ends = False
        self._client_reads = True

    # ------------------------------------------------------------------------------------------------ the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lingering = LingeringTransport(cast(asyncio.Transport, transport), self)
        self.transport = cast(asyncio.Transport, self._lingering)
        ours = {
            Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            Setting.MAX_FRAME_SIZE: MAX_FRAME,
        }
        self.transport.write(settings(ours) + window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW))
        self._service.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave.cancel()
        self._lose_all()
        self._service.closed(self)

    def pause_writing(self) -> None:
        self._client_reads = False
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._client_reads = True
        self.transport.resume_reading()

    def _give_way(self) -> None:
        """Let others have their turn. The loop reads up to 8 MB of one connection otherwise, which may be 100,000
        requests."""
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._client_reads and not self.transport.is_closing():
            self.transport.resume_reading()

    def take_leave(self, *, server_ends: bool = False) -> None:
        """Take no further requests, as soon as the client knows, and close when those under way are answered.
        `server_ends`: what clients may still want to send is not waited for."""
        self._server_ends |= server_ends
        if self._leave.taken:
            self._left()
        elif not self.transport.is_closing():
            self._leave.take()

    def take_leave_after(self, age_s: float, grace_s: float | None) -> None:
        """Take leave when the connection is so old. Calls that are under way then have `grace_s`, or as long as they
        take."""
        self._leave.take_after(age_s, grace_s, self.transport.abort)

    def _left(self) -> None:
        """No further requests are taken."""
        for stream in list(self._streams.values()) if self._server_ends else ():
            if stream.receiver is not None:
                stream.receiver.server_ends()
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._leave.taken and not self._streams:
            self.transport.close()

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self._service.write(self, data)

    # ---------------------------------------------------------------------------------------------------- what comes

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        try:
            frames = self._reader.feed(data)
        except ProtocolError as error:
            self._write(goaway(self._last_stream, error.code, error.reason))
            self.transport.close()
            self._lose_all()
            return
        if self._consumed > CONNECTION_WINDOW // 2:
            self._write(window_update(0, self._consumed))
            self._consumed = 0
        if frames > MANY_FRAMES and not self.transport.is_closing():
            self._give_way()

    def _read_frame(self, kind: int, flags: int, number: int, data: bytes, begin: int, end: int) -> None:
        if self._header_frames.begun is not None:
            self._header_frames.check_next(kind, number)
        if kind == Kind.DATA:
            self._read_data(data, begin, end, flags, number)
        elif kind == Kind.HEADERS:
            self._header_frames.begin(data, begin, end, flags, number)
        elif kind == Kind.CONTINUATION:
            self._header_frames.go_on(data[begin:end], flags, number)
        elif (read := _CONTROL.get(kind)) is not None:
            read(self, data[begin:end], flags, number)

    def _read_data(self, data: bytes, begin: int, end: int, flags: int, number: int) -> None:
        size = end - begin
        self._consumed += size
        if self._consumed > CONNECTION_WINDOW:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        if flags & Flag.PADDED:
            begin, end = unpadded(data, begin, end)
        stream = self._streams.get(number)
        if stream is None or stream.remote_ended:
            self._check_begun(number)
            return
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, f"more data than the window of stream {number} allows")
        stream.remote_ended = bool(flags & Flag.END_STREAM)
        if stream.receiver is not None:
            stream.receiver.data_received(data, begin, end, stream.remote_ended)

    def _take_headers(self, block: bytes, flags: int, number: int) -> None:
        headers = self._blocks.decode(block)
        stream = self._streams.get(number)
        if stream is not None:
            self._take_trailers(stream, flags)
        elif number > self._last_stream and not self._leave.taken:  # others are over, or were told of the end
            if number % 2 == 0:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"stream {number} is none that a client may open")
            self._last_stream = number
            self._open(headers, number, bool(flags & Flag.END_STREAM))

    def _open(self, headers: H, number: int, ended: bool) -> None:
        if len(self._streams) >= MAX_STREAMS:
            self._write(rst_stream(number, ErrorCode.REFUSED_STREAM))
            return
        stream = Stream(number, self._sending, self._sending.initial_window, STREAM_WINDOW, None, ended)
        self._streams[number] = stream
        receiver = self._service.open(self, stream, headers)
        if stream.closed:
            return
        stream.receiver = receiver
        if ended and stream.receiver is not None:
            stream.receiver.data_received(b"", 0, 0, True)

    def _take_trailers(self, stream: Stream, flags: int) -> None:
        """Headers behind the data of a request say nothing to us but that it has ended."""
        if stream.remote_ended or not flags & Flag.END_STREAM:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"headers in the middle of stream {stream.id}")
        stream.remote_ended = True
        if stream.receiver is not None:
            stream.receiver.data_received(b"", 0, 0, True)

    def _check_begun(self, number: int) -> None:
        if number == 0 or (number > self._last_stream and not self._leave.taken):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"stream {number} has not begun")

    # ------------------------------------------------------------------------------------------------------ control

    def _rst_stream(self, payload: bytes, flags: int, number: int) -> None:
        self._check_begun(number)
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._lose(stream)
            self._close_if_done()

    def _settings(self, payload: bytes, flags: int, number: int) -> None:
        if len(payload) % SETTING.size or number or (flags & Flag.ACK and payload):
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "malformed settings")
        if flags & Flag.ACK:
            return
        # Of one that comes several times the last counts: to apply each to every stream would take seconds.
        for key, value in dict(SETTING.iter_unpack(payload)).items():
            if key == Setting.INITIAL_WINDOW_SIZE:
                if value > MAX_WINDOW:
                    raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, f"an initial window of {value} bytes")
                self._sending.initial_window_is(value, list(self._streams.values()))
            elif key == Setting.MAX_FRAME_SIZE:
                if not LEAST_MAX_FRAME <= value < 1 << 24:
                    raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"frames of up to {value} bytes")
                self._sending.max_frame = value
        self._write(frame(Kind.SETTINGS, Flag.ACK, 0))

    def _ping(self, payload: bytes, flags: int, number: int) -> None:
        if len(payload) != 8 or number:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "malformed ping")
        if flags & Flag.ACK:
            self._leave.heard(payload)
        else:
            self._write(frame(Kind.PING, Flag.ACK, 0, payload))

    def _window_update(self, payload: bytes, flags: int, number: int) -> None:
        increment = int.from_bytes(payload, "big") & STREAM_IDS
        if len(payload) != 4 or not increment:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "malformed growth of a window")
        if number == 0:
            self._sending.window_grows(increment)
            return
        stream = self._streams.get(number)
        if stream is None:
            self._check_begun(number)
        else:
            self._sending.stream_grows(stream, increment)

    def _push_promise(self, payload: bytes, flags: int, number: int) -> None:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a client promises nothing")

    # ------------------------------------------------------------------------------------------------------- streams

    def _lose_all(self) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self._lose(stream)

    def _lose(self, stream: Stream) -> None:
        """The client does not take the answer."""
        stream.closed = True
        self._sending.drop(stream)
        receiver, stream.receiver = stream.receiver, None
        if receiver is not None:
            receiver.gone()

    def _finished(self, stream: Stream) -> None:
        """The answer is complete. A client that still sends is told that nobody reads it (RFC 9113 §8.1)."""
        self._streams.pop(stream.id, None)
        stream.closed = True
        stream.receiver = None
        if not stream.remote_ended:
            self._write(rst_stream(stream.id, ErrorCode.NO_ERROR))
        if self._leave.taken:
            # The answer may be about to leave together with others.
            asyncio.get_running_loop().call_soon(self._close_if_done)


_Read = Callable[["Connection[Any]", bytes, int, int], None]

_CONTROL: dict[int, _Read] = {
    Kind.RST_STREAM: Connection._rst_stream,
    Kind.SETTINGS: Connection._settings,
    Kind.PUSH_PROMISE: Connection._push_promise,
    Kind.PING: Connection._ping,
    Kind.WINDOW_UPDATE: Connection._window_update,
}
"""PRIORITY and GOAWAY say nothing to a server, and frames of unknown types are to be ignored."""
