import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request

from despina.errors import Unavailable
from despina.http.submission import submit
from despina.protocol.messages import InferRequest
from despina.scheduling.pending import Pending


class SlowModel:
    """Answers when told to."""

    trace = SimpleNamespace(active=False)

    def __init__(self) -> None:
        self.taken: list[Pending] = []
        self.gone: list[Pending] = []

    def submit(
        self, request: InferRequest, on_done: Callable[[Pending], None], trace: object, client: object
    ) -> Pending:
        pending = Pending({}, 1, on_done, client=client)
        self.taken.append(pending)
        return pending

    def request_gone(self, pending: Pending) -> None:
        self.gone.append(pending)


async def forever() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def hung_up() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def submitted(model: Any, receive: Callable[[], Any]) -> asyncio.Task[Pending]:
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "client": ("::1", 5)}, receive)
    return asyncio.ensure_future(submit(request, model, InferRequest))


async def test_the_answer_comes_back() -> None:
    model = SlowModel()
    task = submitted(model, forever)
    await asyncio.sleep(0)
    model.taken[0].succeed({})
    assert await task is model.taken[0]
    assert model.taken[0].client == ("::1", 5)
    assert model.gone == []


async def test_a_request_whose_client_hung_up_is_given_up() -> None:
    model = SlowModel()
    with pytest.raises(ClientDisconnect):
        await submitted(model, hung_up)
    assert model.gone == model.taken
    model.taken[0].succeed({})


async def test_so_is_one_whose_task_is_cancelled() -> None:
    model = SlowModel()
    task = submitted(model, forever)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.gone == model.taken


async def test_a_request_the_model_does_not_take_is_refused() -> None:
    class Full(SlowModel):
        def submit(
            self, request: InferRequest, on_done: Callable[[Pending], None], trace: object, client: object
        ) -> Pending:
            raise Unavailable("full")

    with pytest.raises(Unavailable):
        await submitted(Full(), forever)
