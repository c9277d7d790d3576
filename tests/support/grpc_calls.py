"""Calls of the gRPC service of a server in this process, over HTTP/2 without sockets."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

from tests.support.http2 import Answer, Client
from tests.support.serving import REPOSITORY

from despina.grpc.http2.frames import Flag, Kind, frame
from despina.grpc.method import SERVICE
from despina.grpc.service import InferenceService
from despina.scheduling.clock import LoopClock
from despina.server import Server
from despina.settings import Settings

INFER = f"/{SERVICE}/ModelInfer"
STREAM = f"/{SERVICE}/ModelStreamInfer"


class Outcome(NamedTuple):
    """How a call ended: its status code and message, and the messages it was answered with."""

    code: int
    message: str
    answers: list[bytes]


def prefixed(message: bytes, *, packed: bool = False) -> bytes:
    """A message as it is in the data of a call; one that is `packed` is gzip."""
    if packed:
        packer = zlib.compressobj(wbits=31)
        message = packer.compress(message) + packer.flush()
    return bytes((packed,)) + len(message).to_bytes(4) + message


def messages(data: bytes) -> list[bytes]:
    """Those in the data of an answer, none of which is compressed."""
    found: list[bytes] = []
    while data:
        assert data[0] == 0
        end = 5 + int.from_bytes(data[1:5])
        assert len(data) >= end
        found.append(data[5:end])
        data = data[end:]
    return found


def call_headers(path: str, metadata: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a gRPC client sends."""
    return {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "127.0.0.1:8001",
        "te": "trailers",
        "content-type": "application/grpc",
        **(metadata or {}),
    }


class Calls:
    """A client on a connection of its own."""

    def __init__(self, service: InferenceService) -> None:
        self.service = service
        self.client = Client(service, connection=service.connection())
        self._stream = -1

    def begin(self, path: str = STREAM, metadata: Mapping[str, str] | None = None) -> int:
        """Begin a call. Returns its stream."""
        self._stream += 2
        self.client.send(self.client.headers(self._stream, call_headers(path, metadata)))
        return self._stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send data, in a read of its own."""
        self.client.send(frame(Kind.DATA, Flag.END_STREAM if end else 0, stream, data))

    async def ended(self, stream: int) -> Outcome:
        """How a call ended, when it has."""
        answer = await self._answer(stream)
        status = answer.trailers or answer.headers
        return Outcome(int(status["grpc-status"]), unquote(status.get("grpc-message", "")), messages(answer.data))

    async def _answer(self, stream: int) -> Answer:
        async with asyncio.timeout(20):
            while not (answer := self.client.answer(stream)).ended:
                await asyncio.sleep(0.001)
        return answer

    async def answers(self, stream: int, count: int) -> list[bytes]:
        """The first messages of an answer, when so many have come."""
        async with asyncio.timeout(20):
            while len(found := messages(self.client.answer(stream).data)) < count:
                await asyncio.sleep(0.001)
        return found

    async def closed(self) -> None:
        """Return when the server has closed the connection."""
        async with asyncio.timeout(20):
            while not self.client.transport.closed:
                await asyncio.sleep(0.001)

    async def call(self, message: bytes, path: str = INFER, metadata: Mapping[str, str] | None = None) -> Outcome:
        """A call with one message."""
        stream = self.begin(path, metadata)
        self.send(stream, prefixed(message), end=True)
        return await self.ended(stream)


@asynccontextmanager
async def serving_calls(models: tuple[str, ...], **settings: Any) -> AsyncIterator[InferenceService]:
    """The service of a server with models of the conformance repository."""
    settings |= {"model_repository": (REPOSITORY,), "model_control_mode": "explicit", "load_model": models}
    chosen = Settings(allow_metrics=False, **settings)
    server = Server(chosen, LoopClock(asyncio.get_running_loop()))
    assert (await server.models.start()).succeeded
    server.is_live = True
    try:
        yield InferenceService(server)
    finally:
        await server.models.stop(5)
        server.trace.close()
