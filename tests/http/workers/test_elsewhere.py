"""Which requests a front end leaves to its owner: those with more than tensors, and those for what a model was."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.channels import FakeModel, config, paired, raising

from despina.errors import InvalidArgument
from despina.http.infer_exchange import InferReply
from despina.http.workers.front_lane import FrontExchange
from despina.http.workers.messages import ASK
from despina.http.workers.remote_model import Elsewhere
from despina.models.signature import Signature
from despina.protocol.decode import Limits
from despina.protocol.messages import InferInput, InferRequest, RequestedOutput


async def test_a_model_is_asked_for_once_until_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired() as (pair, model):
        asked: list[object] = []
        write = pair.front._write
        monkeypatch.setattr(pair.front, "_write", lambda *args, **more: (asked.append(args), write(*args, **more)))
        pair.serving = None
        for _ in range(3):
            assert pair.front.model("m", None) is None
        assert asked == [(ASK,)]
        await pair.turn()
        pair.serving = model
        await pair.model()
        assert asked == [(ASK,), (ASK,)]


async def test_what_comes_late_of_an_old_model_does_not_make_the_new_one_forgotten() -> None:
    async with paired() as (pair, _):
        old = await pair.model()
        pair.serving = FakeModel()
        await pair.send(old, [1, 2])
        new = await pair.model()
        await pair.send(old, [1, 2])
        assert [type(pending.error) for pending in pair.answered] == [Elsewhere, Elsewhere]
        assert pair.front.model("m", None) is new


async def test_a_request_without_rows_goes_elsewhere() -> None:
    async with paired() as (pair, model):
        model.config = config(dims=[-1])
        model.signature = Signature(model.config)
        remote = await pair.model()
        request = InferRequest(inputs=[InferInput("IN", "FP32", (0, 0), memoryview(b""))])
        with pytest.raises(Elsewhere):
            remote.submit(request, pair.answered.append)


@pytest.mark.parametrize(
    "change",
    ["reloaded", "unloaded", "another version is the latest", "another is the latest and this one stays", "traced"],
)
async def test_a_request_for_what_the_model_was_is_not_run(change: str) -> None:
    async with paired() as (pair, model):
        remote = await pair.model()
        await pair.send(remote, [1, 2])
        if change == "reloaded":
            pair.serving = FakeModel()
        elif change == "unloaded":
            pair.serving = None
        elif change == "traced":
            model.trace.active = True
        else:
            pair.serving = FakeModel(version=2)
            pair.older = model if "stays" in change else None
        sent = await pair.send(remote, [1, 2])
        assert isinstance(sent.error, Elsewhere)
        assert len(model.scheduled) == 1
        assert pair.serving is None or pair.serving is model or not pair.serving.scheduled
        assert pair.front.model("m", None) is None  # forgotten, and asked for anew
        await pair.turn()
        known_again = pair.front.model("m", None) is not None
        assert known_again == (change not in ("unloaded", "traced"))


async def test_a_version_that_was_named_is_run_though_another_is_the_latest() -> None:
    async with paired() as (pair, model):
        remote = await pair.model(1)
        pair.serving, pair.older = FakeModel(version=2), model
        await pair.send(remote, [1, 2])
        assert len(model.scheduled) == 1


async def test_a_kind_made_for_a_model_that_is_no_more_is_not_run() -> None:
    async with paired() as (pair, _):
        remote = await pair.model()
        pair.owner._epochs.clear()  # what the weak references of a freed model come to
        assert isinstance((await pair.send(remote, [1, 2])).error, Elsewhere)


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"despina_explain": True}},
        {"correlation_id": 5},
        {"correlation_id": ""},
        {"sequence_start": True},
        {"sequence_end": True},
        {"outputs": [RequestedOutput("OUT", classification=1)]},
    ],
)
async def test_requests_with_more_than_tensors_go_elsewhere(more: dict[str, Any]) -> None:
    async with paired() as (pair, _):
        with pytest.raises(Elsewhere):
            await pair.send(await pair.model(), [1, 2], **more)


@pytest.mark.parametrize(
    "more",
    [{"despina_explain": True}, {"sequence_id": ""}, {"sequence_start": True}, {"sequence_end": True}],
)
async def test_requests_with_more_than_tensors_go_elsewhere_when_their_like_are_known(more: dict[str, Any]) -> None:
    """By what they say of their tensors, whatever their parameters."""
    entry = {"name": "IN", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    parameters = [{"mine": 1}, {"mine": 2}, {"mine": 3}, more]
    bodies = [json.dumps({"inputs": [entry], "parameters": each}).encode() for each in parameters]
    got: list[object] = []
    server: Any = SimpleNamespace(limits=Limits(), find_region=None)
    async with paired() as (pair, model):
        remote = await pair.model()
        for body in bodies:
            exchange = FrontExchange(server, remote, got.append, lambda: got.append("elsewhere"))
            exchange.start(memoryview(body), None)
        assert remote.templates.find_json(memoryview(bodies[-1])) is not None
        assert got == ["elsewhere"]
        await pair.turn()
        assert len(model.scheduled) == 3


@pytest.mark.parametrize(
    ("error", "answers", "text"),
    [
        (InvalidArgument("wrong"), ["elsewhere"], ""),
        (Elsewhere(), ["elsewhere"], ""),
        (ValueError("a mistake of ours"), [500], "ValueError: a mistake of ours"),
        (MemoryError(), [500], "MemoryError"),
    ],
)
def test_what_is_wrong_with_a_request_is_for_the_owner_to_say_but_not_what_goes_wrong_here(
    error: Exception, answers: list[object], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    def find_json(body: memoryview) -> None:
        raise error

    model: Any = SimpleNamespace(trace=SimpleNamespace(active=False), templates=SimpleNamespace(find_json=find_json))
    got: list[object] = []

    def reply(reply: InferReply) -> None:
        got.append(reply.status)

    server: Any = SimpleNamespace(limits=Limits())
    exchange = FrontExchange(server, model, reply, lambda: got.append("elsewhere"))
    exchange.start(memoryview(b"{}"), None)
    assert got == answers
    assert text in caplog.text
    assert bool(caplog.records) == bool(text)


@pytest.mark.parametrize(
    ("outputs", "answers"),
    [
        ([{"name": "OUT", "parameters": {"classification": 2}}], ["elsewhere"]),
        ([{"name": "OUT", "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 8}}], ["elsewhere"]),
        ([{"name": "classification"}], [500]),
    ],
)
def test_what_is_for_the_owner_is_not_decoded(
    outputs: list[object], answers: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("despina.protocol.decode.decode_request", lambda *args: raising(KeyError("decoded"))(None))
    templates = SimpleNamespace(find_json=lambda body: None)
    model: Any = SimpleNamespace(name="m", trace=SimpleNamespace(active=False), templates=templates)
    got: list[object] = []
    server: Any = SimpleNamespace(limits=Limits(), find_region=None)
    exchange = FrontExchange(server, model, lambda reply: got.append(reply.status), lambda: got.append("elsewhere"))
    exchange.start(memoryview(json.dumps({"outputs": outputs}).encode()), None)
    assert got == answers


async def test_a_front_end_knows_that_requests_of_sequences_are_for_the_owner() -> None:
    async with paired() as (pair, model):
        assert not (await pair.model()).is_stateful
        model.config.sequence_batching.direct.SetInParent()
        assert (await pair.model(1)).is_stateful
