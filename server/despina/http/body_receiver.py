"""Large bodies, straight from the socket to where they will be read from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from despina.http.collecting_connection import CollectingConnection


class BodyReceiver(asyncio.BufferedProtocol):
    """Receives the rest of one body into `room`, which has its full length, then gives the connection back."""

    def __init__(
        self,
        connection: CollectingConnection,
        transport: asyncio.Transport,
        room: memoryview,
        begun: bytes | bytearray | memoryview,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._view = room
        self.filled = len(begun)
        self._view[: self.filled] = begun

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view[self.filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self.filled += nbytes
        if self.filled == len(self._view):
            self._transport.set_protocol(self._connection)
            # uvloop keeps this object until the connection has another receiver, but the body must not stay for that.
            body, self._view = self._view, memoryview(b"")
            self._connection.body_complete(body)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
