"""The channel of a front end and that of its owner, in one process, and a model that keeps what is scheduled."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from tests.support.arenas import arena

from despina.config.proto import ModelConfig
from despina.errors import NotFound
from despina.http.request_templates import Templates
from despina.http.workers.arena import Arena
from despina.http.workers.front_channel import FrontChannel
from despina.http.workers.owner import OwnerChannel
from despina.http.workers.remote_model import RemoteModel
from despina.models.signature import Signature
from despina.protocol.decode import Limits, no_shared_memory
from despina.protocol.messages import InferInput, InferRequest
from despina.scheduling.outbox import Outbox
from despina.scheduling.pending import Pending
from despina.telemetry.logging import LogSettings


def config(dims: Sequence[int] = (2,)) -> Any:
    loaded = ModelConfig(name="m", max_batch_size=4)
    loaded.input.add(name="IN", data_type="TYPE_FP32", dims=dims)
    loaded.output.add(name="OUT", data_type="TYPE_FP32", dims=dims)
    return loaded


class FakeModel:
    """Keeps what is scheduled."""

    def __init__(self, version: int = 1, group_rows: int = 0) -> None:
        self.name = "m"
        self.version = version
        self.group_rows = group_rows
        self.answers_early = False
        self.config = config()
        self.signature = Signature(self.config)
        self.trace = SimpleNamespace(active=False)
        self.scheduled: list[Pending] = []
        self.gone: list[Pending] = []
        self.schedule: Callable[[Pending], None] = self.scheduled.append
        self.request_gone = self.gone.append
        self.takes_text = False
        self.templates: Any = Templates(self)  # type: ignore[arg-type]

    def submit(self, request: InferRequest, on_done: Callable[[Pending], None], *_: object) -> Pending:
        admitted = self.signature.admit(request)
        pending = Pending(admitted.inputs, admitted.rows, on_done, byte_size=admitted.byte_size)
        self.schedule(pending)
        return pending


class Pair:
    """A front end's channel and its owner's, with `model` in the owner."""

    def __init__(self, model: FakeModel, requests: Arena, results: Arena) -> None:
        self.serving: FakeModel | None = model
        self.older: FakeModel | None = None
        models = SimpleNamespace(get=self._get)
        server: Any = SimpleNamespace(models=models, outbox=Outbox(), limits=Limits(), find_region=no_shared_memory)
        # In two processes each side has an object of its own; slots are handed out by one side only.
        self.owner = OwnerChannel(server, requests, results, lambda: None)
        self.front = FrontChannel(requests, results, LogSettings())
        self.requests = requests
        self.results = results
        self.answered: list[Pending] = []

    def _get(self, name: str, version: int | None) -> FakeModel:
        if self.older is not None and version == self.older.version:
            return self.older
        if self.serving is None or name != "m" or version not in (None, self.serving.version):
            raise NotFound("no such model")
        return self.serving

    async def turn(self) -> None:
        """Let everything that was written arrive."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def model(self, version: int | None = None) -> RemoteModel:
        self.front.model("m", version)
        await self.turn()
        found = self.front.model("m", version)
        assert found is not None
        return found

    async def send(self, model: RemoteModel, values: list[float], **more: Any) -> Pending:
        pending = self.submit(model, values, **more)
        await self.turn()
        return pending

    def submit(self, model: RemoteModel, values: list[float], **more: Any) -> Pending:
        data = memoryview(np.array(values, "<f4").tobytes())
        request = InferRequest(inputs=[InferInput("IN", "FP32", (len(values) // 2, 2), data)], **more)
        return model.submit(request, self.answered.append)


@asynccontextmanager
async def paired(group_rows: int = 0) -> AsyncIterator[tuple[Pair, FakeModel]]:
    model = FakeModel(group_rows=group_rows)
    with arena() as requests, arena() as results:
        pair = Pair(model, requests, results)
        ends = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_unix_connection(lambda: pair.owner, sock=ends[0])
        other, _ = await loop.create_unix_connection(lambda: pair.front, sock=ends[1])
        yield pair, model
        pair.front.connection_lost = lambda exc: None  # type: ignore[method-assign]  # it would end this process
        other.close()
        transport.close()
        await pair.turn()


def raising(error: Exception) -> Callable[[Any], Any]:
    def fails(argument: Any) -> Any:
        raise error

    return fails
