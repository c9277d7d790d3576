"""One connection of a client."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from despina.deploy.gate.answers import answer
from despina.deploy.gate.deadline import Deadline
from despina.deploy.gate.exchange import Exchange
from despina.deploy.gate.request_head import RequestHead
from despina.deploy.gate.request_parser import BadRequest, RequestParser
from despina.lingering import LingeringTransport

if TYPE_CHECKING:
    from despina.deploy.gate.gate import Gate

BAD_REQUEST = "this is not an HTTP request that can be answered"
PIPELINED = 16
"""How many requests of a connection may be under way; the rest waits unread, mostly on the client's side."""

PIECE = 1 << 14
"""How much is parsed at once where requests may begin: one read may hold thousands."""


class ClientConnection(asyncio.Protocol):
    """Takes requests; the first of `_exchanges` is answered, the others (pipelined) wait their turn.

    `_held` are bytes that wait until there are fewer exchanges. Of a `_broken` connection nothing more is parsed.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._transport: LingeringTransport | None = None
        self._parser = RequestParser(self)
        self._exchanges: deque[Exchange] = deque()
        self._newest: Exchange | None = None
        self._held = b""
        self._broken = False
        self._held_back = False
        self._paused = False
        self._out: list[bytes] = []
        self._request_due = Deadline(gate.loop, self._close)
        self._body_due = Deadline(gate.loop, self._stalled)
        # An answer that nobody reads would keep its place for good.
        self._reading_due = Deadline(gate.loop, self.abort)
        self.peer = b"unknown"
        self.full = False
        """Whether the client takes its answers more slowly than they come."""

    # The exchange's side

    def write(self, data: bytes) -> None:
        # What is written in one turn of the loop (head and body, mostly) leaves in one system call.
        if not self._out:
            self._gate.loop.call_soon(self._flush)
        self._out.append(data)

    def exchange_done(self, exchange: Exchange) -> None:
        if not self._exchanges or self._exchanges[0] is not exchange:
            return
        self._exchanges.popleft()
        if not exchange.keep_alive:
            self._close()
        elif self._exchanges or self._held:
            # Later: refusals follow each other at once, and would call each other ever deeper.
            self._gate.loop.call_soon(self._go_on)
        elif self._broken:
            self._bad_request()
        else:
            self._request_due.put_off(self._gate.limits.idle_seconds)

    def pause_reading(self) -> None:
        self._held_back = True
        self._regulate()

    def resume_reading(self) -> None:
        self._held_back = False
        self._regulate()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def close_when_idle(self) -> None:
        """The gate shuts down."""
        if not self._exchanges:
            self._close()
        for exchange in self._exchanges:
            exchange.keep_alive = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses.
        self._transport = LingeringTransport(cast(asyncio.Transport, transport), self, self._gate.lingering)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]).encode() if isinstance(peer, tuple) else b"unknown"
        self._gate.clients.add(self)
        self._request_due.put_off(self._gate.limits.idle_seconds)

    def data_received(self, data: bytes) -> None:
        if not self._broken:
            self._held += data
            self._read_held()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._gate.client_gone(self)
        for deadline in (self._request_due, self._body_due, self._reading_due):
            deadline.stop()
        self._held = b""
        exchanges, self._exchanges = list(self._exchanges), deque()
        for exchange in exchanges:
            exchange.client_lost()

    def pause_writing(self) -> None:
        self.full = True
        self._reading_due.put_off(self._gate.limits.idle_seconds)
        if self._exchanges:
            self._exchanges[0].pause_response()

    def resume_writing(self) -> None:
        self.full = False
        self._reading_due.stop()
        if self._exchanges:
            self._exchanges[0].resume_response()

    # The parser's side

    def request_begun(self, head: RequestHead) -> None:
        if self._closing:
            self._broken = True
        if self._broken:
            return
        self._request_due.stop()
        exchange = Exchange(self._gate, self, head)
        self._newest = exchange
        self._exchanges.append(exchange)
        if len(self._exchanges) == 1:
            exchange.start()
            if not exchange.over and (b"expect", b"100-continue") in head.headers:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def request_body(self, data: bytes) -> None:
        if self._newest is not None:
            self._newest.request_body(data)

    def request_ended(self) -> None:
        newest, self._newest = self._newest, None
        if newest is not None:
            newest.request_end()

    def _read_held(self) -> None:
        """Parses what came, as far as there may be more exchanges."""
        data, self._held = self._held, b""
        position = 0
        while position < len(data) and len(self._exchanges) < PIPELINED and not self._broken:
            size = PIECE if self._newest is None else max(PIECE, self._newest.body.left)
            self._parse(data[position : position + size])
            position += size
        self._held = b"" if self._broken else data[position:]
        self._regulate()
        self._watch_body()

    @property
    def _closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _go_on(self) -> None:
        """An exchange is done; the next one's turn has come."""
        if self._closing:
            return
        if self._exchanges and not self._exchanges[0].started:
            self._exchanges[0].start()
        self._read_held()
        if not self._exchanges and not self._broken:
            self._request_due.put_off(self._gate.limits.idle_seconds)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.parse(data)
        except BadRequest:
            self._broken = True
        if self._broken:
            self._break()

    def _break(self) -> None:
        """What came is no request; those before it are answered first."""
        newest, self._newest = self._newest, None
        if newest is not None:
            newest.cut_short(400, BAD_REQUEST)
        elif not self._exchanges:
            self._bad_request()

    def _bad_request(self) -> None:
        if self._closing:
            return
        self.write(answer(400, BAD_REQUEST, b"/", ((b"connection", b"close"),)))
        self._close()

    def _stalled(self) -> None:
        newest, self._newest = self._newest, None
        self._broken = True  # what may come yet belongs to a request that is over
        if newest is not None:
            newest.cut_short(408, newest.body.stalled(self._gate.limits.idle_seconds))

    def _regulate(self) -> None:
        full = bool(self._held) or len(self._exchanges) >= PIPELINED
        pause = (self._held_back or full) and not self._broken
        if self._transport is None or self._closing or self._paused == pause:
            return
        self._paused = pause
        if self._paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        self._watch_body()

    def _watch_body(self) -> None:
        # While we do not read, the client cannot be blamed.
        if self._newest is not None and not self._paused:
            self._body_due.put_off(self._gate.limits.idle_seconds)
        else:
            self._body_due.stop()

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.writelines(out)

    def _close(self) -> None:
        self._flush()
        if self._transport is not None:
            self._transport.close()
