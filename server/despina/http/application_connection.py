"""A connection whose requests the application answers: uvicorn's own protocol, which tells when it is done.

It has the connection from the first byte of a request until the response is complete, and no other request is on its
way to it. And there are rules for bodies:

A body may come in many chunks, but not in any number of them: each costs far more than the few bytes it may hold.

A request that announces its length twice, by Content-Length and as chunked, counts as chunked. What follows it on the
connection may be the rest of a body in the eyes of a proxy, so the connection closes then (RFC 9112 §6.1).

Behind CONNECT, and behind a wish for another protocol that was not taken out of the head, the parser reads no body:
what came with the head is lost to it, and what comes later are further requests. So neither may announce a body, and
the connection closes.

A body may be chunked and nothing else: of one that was encoded differently nobody could tell where it ends.

What a client may have kept here is bounded, too. Heads have a limit, and so do trailers and whatever else has no end
yet. Requests that come before the last one is answered wait, those of one read; further ones are not read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from despina.lingering import LingeringTransport

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

MAX_CHUNKS = 1 << 16

MAX_HEAD = 256 * 1024
"""Bytes of a head. The parser puts together all that comes of one."""


class PipelineFlow(FlowControl):
    """Does not read while requests wait for their turn. uvicorn goes on to read with every answer, and would keep ever
    more of them."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Refused(Exception):
    """Raised inside the parser, which stops and takes the request for malformed."""


class OldClient:
    """The application as an HTTP/1.0 client has it. One that wishes for a connection that stays is told when it does
    (RFC 9112 §9.3), and it does where the answer says how long it is: such a client knows no chunks, and takes what
    comes until the end of the connection for the answer."""

    def __init__(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._cycle = cycle
        self._app = app

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def answer(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.start" and self._cycle.keep_alive:
                headers = list(message.get("headers", ()))
                names = {name.lower() for name, _ in headers}
                self._cycle.keep_alive = b"content-length" in names
                if self._cycle.keep_alive and b"connection" not in names:
                    message = {**message, "headers": [*headers, (b"connection", b"keep-alive")]}
            await send(message)

        await self._app(scope, receive, answer)


class ApplicationConnection(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        parser: Any = self.parser
        parser.set_dangerous_leniencies(lenient_data_after_close=True, lenient_chunked_length=True)
        self._chunks = 0
        self._unfinished = 0
        self._refusal = ""
        self._in_application = False
        self._message_open = False
        self._on_gone: Callable[[], None] | None = None
        self._has_last = False
        """The request that closes the connection is here: what comes behind it is no request."""
        self._cycle_under_way: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """In place of uvicorn's own, which asks for both addresses: half of what a connection costs, and only the
        application looks at them."""
        self._lingering = LingeringTransport(transport, self)
        self.transport = cast(asyncio.Transport, self._lingering)
        self.flow = PipelineFlow(transport, self.pipeline)
        self.scheme = "https" if is_ssl(transport) else "http"
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn lets the timer of a connection that was reset go on, which keeps it in memory until then.
        self._unset_keepalive_if_required()
        if self._on_gone is not None:
            self._on_gone()

    def take_leave(self, on_gone: Callable[[], None]) -> None:
        """The server ends: this connection does with the answer that is under way, or else with the next one."""
        self._on_gone = on_gone
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        if self._has_last:
            return
        self._unfinished += len(data)
        super().data_received(data)
        if not self._message_open:
            self._unfinished = 0  # empty lines behind a request, which nothing is kept of
        if self._unfinished > MAX_HEAD and not self.transport.is_closing():
            self._refusal = f"Request head exceeds maximum of {MAX_HEAD} bytes. Send fewer or shorter headers."
            self.send_400_response(self._refusal)

    def on_message_begin(self) -> None:
        self._chunks = 0
        self._in_application = True
        self._message_open = True
        if self.server is None:
            self.server, self.client = get_local_addr(self.transport), get_remote_addr(self.transport)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        encodings = [value for name, value in self.headers if name == b"transfer-encoding"]
        # With a tab behind it the parser would take all that comes until the connection ends for the body.
        if encodings and b",".join(encodings).strip(b" ").lower() != b"chunked":
            encoding = b", ".join(encodings).decode("latin-1")
            self._refuse(f"Transfer-Encoding '{encoding}' is not supported. Send the body chunked or with its length.")
        assert self.parser is not None
        tunnel = self.parser.should_upgrade()
        measured = any(name == b"content-length" for name, _ in self.headers)
        if tunnel and (encodings or measured):
            self._refuse("A request for a tunnel or for another protocol has no body here. Send an ordinary request.")
        super().on_headers_complete()
        if tunnel or (encodings and measured):
            self.cycle.keep_alive = False
        elif self.parser.get_http_version() == "1.0" and self.parser.should_keep_alive():
            self.cycle.keep_alive = True  # uvicorn closes it
        if self._on_gone is not None:
            self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        """The empty chunk at the end of a body is announced too."""
        self._unfinished = 0
        self._chunks += 1
        if self._chunks > MAX_CHUNKS + 1:
            self._refuse(
                f"Chunked request body exceeds maximum of {MAX_CHUNKS} non-empty chunks. Send fewer or larger HTTP "
                "chunks."
            )

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()
        self._message_open = False
        self._has_last = not self.cycle.keep_alive
        self._leave_application()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._leave_application()

    def _leave_application(self) -> None:
        if not self._message_open and not self.pipeline and self.cycle is not None and self.cycle.response_complete:
            self._in_application = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._cycle_under_way = cycle
        super()._start_asgi_task(cycle, app if cycle.scope["http_version"] == "1.1" else OldClient(cycle, app))

    def _give_up(self) -> None:
        """The application must not write any more. uvicorn tells only the youngest of several requests on a connection,
        and tells it only when the transport has been closed for a while."""
        for cycle in (self._cycle_under_way, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()

    def _refuse(self, why: str) -> NoReturn:
        self._refusal = why
        raise Refused

    def why_refused(self, message: str) -> str:
        """`message`, unless the request is fine as far as HTTP goes."""
        return self._refusal or message
