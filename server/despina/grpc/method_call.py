"""A call of a method that is no inference."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from despina.errors import Unavailable
from despina.grpc.messages import parse
from despina.grpc.unary_call import UnaryCall

if TYPE_CHECKING:
    from despina.grpc.call_head import CallHead
    from despina.grpc.http2.stream import Stream
    from despina.grpc.inference import Client
    from despina.grpc.method import Method
    from despina.server import Server


MAX_BEGUN = 1024
"""Calls of one client that have begun and are not done. Those it has given up count, too."""


class MethodCall(UnaryCall):
    """One call, answered by a task."""

    __slots__ = ("_client", "_method", "_task")

    def __init__(self, server: Server, stream: Stream, head: CallHead, client: Client, method: Method) -> None:
        super().__init__(server, stream, head)
        self._client = client
        self._method = method
        self._task: asyncio.Task[None] | None = None

    def start(self, message: bytes | memoryview) -> None:
        if self._client.calls_begun >= MAX_BEGUN:
            raise Unavailable(f"{MAX_BEGUN} calls of this client are under way, counting those that it has given up")
        self._client.calls_begun += 1
        self._task = asyncio.get_running_loop().create_task(self._answer(bytes(message)))

    async def _answer(self, message: bytes) -> None:
        try:
            if not self.stream.closed:
                await self._handle(message)
        finally:
            self._client.calls_begun -= 1

    async def _handle(self, message: bytes) -> None:
        try:
            answer = await self._method.handle(parse(self._method.request, message), self.server)
            data = answer.SerializeToString()
        except Exception as error:
            self.refuse(error)
        else:
            self.reply((data,))

    def abandon(self) -> None:
        """What has begun, as loading a model, goes on."""
