"""The exchange of one request: it is answered once, whatever goes wrong."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from despina.errors import Unavailable
from despina.http.endpoints.infer import infer
from despina.http.infer_exchange import InferExchange, InferReply
from despina.protocol.decode import Limits, no_shared_memory
from despina.protocol.messages import InferRequest


class Template:
    """A kind of request whose tensors are `inputs`."""

    rows, shape_key, requested, priority, timeout_us, byte_size = 1, None, None, 0, 0, 0
    correlation_id, sequence_start, sequence_end = 0, False, False
    request = InferRequest()
    outputs_at: Mapping[str, object] = MappingProxyType({})

    def __init__(self, inputs: dict[str, Any] | None) -> None:
        self._inputs = inputs

    def read(self, data: bytes, start: int) -> dict[str, Any] | None:
        return self._inputs


def test_a_request_that_cannot_be_remembered_is_answered_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room for one more")

    def submit(request: object, on_done: Any, trace: object, client: object) -> Any:
        submitted.append(on_done)
        return SimpleNamespace(error=KeyError("late"))

    submitted: list[Any] = []
    model: Any = SimpleNamespace(
        name="m",
        trace=SimpleNamespace(active=False),
        templates=SimpleNamespace(find_json=lambda body: None, keep_json=fail),
        submit=submit,
    )
    server: Any = SimpleNamespace(limits=Limits(), find_region=no_shared_memory)
    replies: list[InferReply] = []
    exchange = InferExchange(server, model, replies.append)
    exchange.start(memoryview(b'{"inputs":[]}'), None)
    assert "MemoryError: no room for one more" in caplog.text
    assert not replies
    submitted[0](exchange.pending)
    assert [reply.status for reply in replies] == [500]


@pytest.mark.parametrize(("traced", "inputs", "taken"), [(False, {}, True), (False, None, False), (True, {}, False)])
def test_only_what_can_be_read_and_is_not_traced_goes_the_short_way(traced: bool, inputs: Any, taken: bool) -> None:
    submitted: list[Any] = []
    model: Any = SimpleNamespace(name="m", trace=SimpleNamespace(active=traced), schedule=submitted.append)
    template: Any = Template(inputs)
    replies: list[InferReply] = []
    server: Any = SimpleNamespace()
    exchange = InferExchange(server, model, replies.append)
    assert exchange.start_like(template, b"{}", 2) is taken
    assert len(submitted) == taken
    assert not replies


def test_the_application_tells_who_asks() -> None:
    clients: list[object] = []

    def submit(request: object, on_done: Any, trace: object, client: object) -> Any:
        clients.append(client)
        raise Unavailable("enough")

    templates = SimpleNamespace(find_json=lambda body: None)
    model = SimpleNamespace(name="m", trace=SimpleNamespace(active=False), templates=templates, submit=submit)
    settings = SimpleNamespace(response_compression=False)
    models = SimpleNamespace(get=lambda name, version: model, versions=lambda name: [1])
    server: Any = SimpleNamespace(
        models=models, limits=Limits(), find_region=no_shared_memory, forwarding=None, settings=settings
    )
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": ("::1", 5)}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"inputs":[]}'}

    request = Request({**scope, "path_params": {"model": "m"}}, receive)
    assert asyncio.run(infer(request, server)).status_code == 503
    assert clients == [("::1", 5)]
