"""The port for gRPC."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from despina.grpc.service import InferenceService
from despina.grpc.tls import tls_context
from despina.http.listener import taken

if TYPE_CHECKING:
    from despina.server import Server

BACKLOG = 2048


class GrpcListener:
    """The service on a bound socket."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._service = InferenceService(server)
        self._tls = tls_context(server.settings)
        self._socket = sock
        self._listening: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises Unavailable when somebody who bound to the port at the same time listens already."""
        try:
            self._socket.listen(BACKLOG)
        except OSError as error:
            address, port = self._socket.getsockname()[:2]
            raise taken(address, port, "GRPC", error) from None
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            self._service.connection, sock=self._socket, ssl=self._tls, backlog=BACKLOG
        )

    async def stop(self) -> None:
        """Stop accepting, tell clients to go elsewhere, and wait until every call has its answer."""
        if self._listening is not None:
            self._listening.close()
        gone = asyncio.Event()
        self._service.all_closed = gone.set
        self._service.take_leave()
        if self._service.connections:
            await gone.wait()
