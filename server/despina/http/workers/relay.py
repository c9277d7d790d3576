"""The application of a front end: every request goes on to the owner's application, and its response comes back.

Both are passed on piece by piece, so a stream stays a stream, and a client that hangs up is hung up on the owner too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httptools

from despina.errors import Unavailable
from despina.http.app import error_response

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

MAX_IDLE = 64
_PIECE = 256 * 1024
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect", b"transfer-encoding"}
)


class Door:
    """Where connections to the owner's application come from."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._idle: list[Connection] = []

    async def take(self) -> Connection:
        """A connection that nobody else uses. Raises OSError."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():  # the owner keeps no connection for ever that nothing is asked on
                return connection
            connection.writer.close()
        mine, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._sock, [b"\0"], [theirs.fileno()])
        except OSError:
            mine.close()
            raise
        return Connection(*await asyncio.open_unix_connection(sock=mine, limit=_PIECE))

    def give(self, connection: Connection, reusable: bool) -> None:
        if reusable and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.writer.close()

    def close(self) -> None:
        """Hang up on the owner where nothing is under way."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection to the owner's application, for one request after another."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Relay:
    """The ASGI application."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def pass_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._relay(scope, receive, pass_on)
        except OSError as error:
            if begun:
                raise
            _log.error("a request could not be passed on to the process with the models: %s", error)
            refusal = Unavailable(
                f"the server cannot take the request now: {error.strerror or error}. Try again later."
            )
            await error_response(refusal)(scope, receive, send)

    async def _relay(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = await self._door.take()
        request = Request(scope, receive, connection.writer)
        sending = asyncio.ensure_future(request.send())
        responding = asyncio.ensure_future(respond(connection.reader, send, scope["method"] == "HEAD"))
        reusable = False
        try:
            await asyncio.wait((sending, responding), return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not request.is_disconnected:
                # It could not be sent: the owner has said why, or hung up.
                await responding
            if responding.done():
                reusable = responding.result() and request.is_complete
        finally:
            sending.cancel()
            responding.cancel()
            await asyncio.gather(sending, responding, return_exceptions=True)
            self._door.give(connection, reusable)


class Request:
    """The way of a request to the owner. `is_complete` says that all of it is sent."""

    def __init__(self, scope: Scope, receive: Receive, writer: asyncio.StreamWriter) -> None:
        self._scope = scope
        self._receive = receive
        self._writer = writer
        self._chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        self.is_complete = False
        self.is_disconnected = False

    async def send(self) -> None:
        """Send the request; return when the client hangs up. Raises OSError."""
        self._writer.write(request_head(self._scope, self._chunked))
        while not self.is_disconnected:
            message = await self._receive()
            self.is_disconnected = message["type"] == "http.disconnect"
            if not self.is_complete and not self.is_disconnected:
                self._send_body(message)
                await self._writer.drain()

    def _send_body(self, message: Message) -> None:
        body = message.get("body", b"")
        if body:
            self._writer.write(b"%x\r\n%b\r\n" % (len(body), body) if self._chunked else body)
        if not message.get("more_body", False):
            self.is_complete = True
            if self._chunked:
                self._writer.write(b"0\r\n\r\n")


def request_head(scope: Scope, chunked: bool) -> bytes:
    """The head of the request as the owner gets it. A body that is chunked has no length besides (RFC 9112 §6.2): the
    owner would take this request for the last one, and may hang up before all of it is sent."""
    left_out = _HOP_BY_HOP | {b"content-length"} if chunked else _HOP_BY_HOP
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target)]
    lines += [b"%b: %b" % header for header in scope["headers"] if header[0] not in left_out]
    if chunked:
        lines.append(b"transfer-encoding: chunked")
    return b"\r\n".join([*lines, b"", b""])


class ResponseMessages:
    """Receives httptools' callbacks and makes ASGI messages of them."""

    def __init__(self, without_body: bool) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.ready: deque[Message] = deque()
        self.is_complete = False
        self.keeps_alive = False
        self._without_body = without_body
        self._headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in _HOP_BY_HOP:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        # Only now: when the message is complete, the parser has forgotten.
        self.keeps_alive = self.parser.should_keep_alive()
        status = self.parser.get_status_code()
        self.ready.append({"type": "http.response.start", "status": status, "headers": self._headers})
        if self._without_body:
            # What the length announces does not come, which the parser cannot know.
            self.on_message_complete()

    def on_body(self, body: bytes) -> None:
        self.ready.append({"type": "http.response.body", "body": body, "more_body": True})

    def on_message_complete(self) -> None:
        self.is_complete = True
        self.ready.append({"type": "http.response.body", "body": b"", "more_body": False})


async def respond(reader: asyncio.StreamReader, send: Send, without_body: bool) -> bool:
    """Pass a response on. Whether the connection can be used again. Raises ConnectionError when the owner hangs up in
    the middle of it."""
    messages = ResponseMessages(without_body)
    while not messages.is_complete:
        data = await reader.read(_PIECE)
        if not data:
            raise ConnectionResetError("the owner hung up")
        messages.parser.feed_data(data)
        while messages.ready:
            await send(messages.ready.popleft())
    return messages.keeps_alive and not without_body
