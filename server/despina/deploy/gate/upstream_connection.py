"""One connection to a server or a worker, and the response that comes on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from despina.deploy.gate.exchange import Exchange


class UpstreamConnection(asyncio.Protocol):
    """Parses responses and hands them to the exchange that has the connection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._exchange: Exchange | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._idle_since = 0.0
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.fresh = True

    # The exchange's side

    def usable(self, idle_since: float) -> bool:
        return self._transport is not None and not self._transport.is_closing() and self._idle_since > idle_since

    def begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._parser = httptools.HttpResponseParser(self)

    def write(self, data: bytes) -> None:
        # Head and body leave in one system call, as on the client's side.
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def finish(self, now: float) -> None:
        """The response is complete and the connection may be used again."""
        self._exchange = self._parser = None
        self._idle_since = now
        self.fresh = False

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()  # bytes that nobody asked for
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()
            self._lost()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.pause_request()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.resume_request()

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.writelines(out)

    def _lost(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.upstream_lost()

    # httptools' side

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, []
        if self._exchange is not None and self._parser is not None:
            status = self._parser.get_status_code()
            if status >= 200:
                self._exchange.response_head(status, headers)

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.response_body(body)

    def on_message_complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is not None and parser is not None and parser.get_status_code() >= 200:
            exchange.response_end(keep_alive=parser.should_keep_alive())
