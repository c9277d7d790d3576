"""The exchange of one request: it is answered once, whatever goes wrong."""

from types import SimpleNamespace
from typing import Any

import pytest

from despina.http.infer import InferExchange, InferReply
from despina.protocol.decode import Limits, no_shared_memory


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
