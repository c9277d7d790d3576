"""A connection whose requests the application answers: uvicorn's own protocol, with two rules for chunked bodies.

A body may come in many chunks, but not in any number of them: each costs far more than the few bytes it may hold.

A request that announces its length twice, by Content-Length and as chunked, counts as chunked. What follows it on the
connection may be the rest of a body in the eyes of a proxy, so the connection closes then (RFC 9112 §6.1).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_CHUNKS = 1 << 16


class TooManyChunks(Exception):
    """Raised inside the parser, which stops and takes the request for malformed."""


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

    def on_message_begin(self) -> None:
        self._chunks = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        names = {name for name, _ in self.headers}
        if b"transfer-encoding" in names and b"content-length" in names:
            self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        """The empty chunk at the end of a body is announced too."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS + 1:
            raise TooManyChunks

    def why_refused(self, message: str) -> str:
        """`message`, unless the request is fine as far as HTTP goes."""
        if self._chunks <= MAX_CHUNKS + 1:
            return message
        return (
            f"Chunked request body exceeds maximum of {MAX_CHUNKS} non-empty chunks. Send fewer or larger HTTP chunks."
        )
