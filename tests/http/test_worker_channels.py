"""A front end and its owner, and what crosses between them."""

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from tests.support.arenas import arena

from despina.config.proto import ModelConfig
from despina.errors import Internal, InvalidArgument, NotFound, Unavailable, Unsupported
from despina.http.infer_exchange import InferReply
from despina.http.workers.arena import CAPACITY, Arena
from despina.http.workers.front_channel import FrontChannel
from despina.http.workers.front_lane import FrontExchange, FrontLane
from despina.http.workers.layout import (
    Layout,
    layout_of,
)
from despina.http.workers.messages import ASK
from despina.http.workers.owner import OwnerChannel
from despina.http.workers.patience import BEATS_AT_START
from despina.http.workers.remote_model import Elsewhere, RemoteModel
from despina.models.signature import Signature
from despina.protocol.decode import Limits
from despina.protocol.messages import InferInput, InferRequest, RequestedOutput
from despina.scheduling.outbox import Outbox
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import queue_full
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


class Pair:
    """A front end's channel and its owner's, with `model` in the owner."""

    def __init__(self, model: FakeModel, requests: Arena, results: Arena) -> None:
        self.serving: FakeModel | None = model
        self.older: FakeModel | None = None
        server: Any = SimpleNamespace(models=SimpleNamespace(get=self._get), outbox=Outbox())
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


def with_pair(scenario: Callable[[Pair, FakeModel], Any], group_rows: int = 0) -> None:
    async def run() -> None:
        model = FakeModel(group_rows=group_rows)
        with arena() as requests, arena() as results:
            pair = Pair(model, requests, results)
            ends = socket.socketpair()
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_unix_connection(lambda: pair.owner, sock=ends[0])
            other, _ = await loop.create_unix_connection(lambda: pair.front, sock=ends[1])
            await scenario(pair, model)
            pair.front.connection_lost = lambda exc: None  # type: ignore[method-assign]  # it would end this process
            other.close()
            transport.close()
            await pair.turn()

    asyncio.run(run())


def test_a_request_crosses_and_its_results_come_back() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        sent = await pair.send(remote, [1, 2], id="é", priority=3, timeout_us=9)
        (arrived,) = model.scheduled
        assert arrived.inputs["IN"].tolist() == [[1, 2]]
        assert (arrived.id, arrived.priority, arrived.timeout_us, arrived.rows) == ("", 3, 9, 1)
        arrived.response_parameters = {"p": 1}
        arrived.succeed({"OUT": np.array([[3, 4]], "<f4"), "extra": np.zeros(1)})
        await pair.turn()
        assert pair.answered == [sent]
        assert sent.results is not None
        assert {name: array.tolist() for name, array in sent.results.items()} == {"OUT": [[3, 4]]}
        assert sent.response_parameters == {"p": 1}
        assert pair.requests.taken == pair.results.taken == 0

    with_pair(scenario)


def test_a_model_is_asked_for_once_until_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
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

    with_pair(scenario)


def test_what_comes_late_of_an_old_model_does_not_make_the_new_one_forgotten() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        old = await pair.model()
        pair.serving = FakeModel()
        await pair.send(old, [1, 2])
        new = await pair.model()
        await pair.send(old, [1, 2])
        assert [type(pending.error) for pending in pair.answered] == [Elsewhere, Elsewhere]
        assert pair.front.model("m", None) is new

    with_pair(scenario)


def test_an_array_that_lies_behind_the_arena_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        for offset, found in ((-1, None), (0, 0), (CAPACITY - 1, CAPACITY - 1), (CAPACITY, None)):
            monkeypatch.setattr(pair.requests, "find", lambda array, offset=offset: offset)
            assert pair.front.find(np.zeros(1)) == found

    with_pair(scenario)


@pytest.mark.parametrize("group_rows", [0, 4])
def test_requests_that_differ_in_more_than_data_stay_apart(group_rows: int) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        for more in ({}, {"outputs": [RequestedOutput("OUT")]}, {"priority": 2}, {"timeout_us": 9}, {}):
            await pair.send(remote, [1, 2], **more)
        assert [(each.outputs, each.priority, each.timeout_us) for each in model.scheduled] == [
            (None, 0, 0),
            (("OUT",), 0, 0),
            (None, 2, 0),
            (None, 0, 9),
            (None, 0, 0),
        ]

    with_pair(scenario, group_rows)


@pytest.mark.parametrize("group_rows", [0, 4])
def test_an_input_that_may_be_left_out_crosses_when_it_is_there(group_rows: int) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        model.config = config()
        model.config.input.add(name="MORE", data_type="TYPE_FP32", dims=[2], optional=True)
        model.signature = Signature(model.config)
        remote = await pair.model()
        data = memoryview(np.ones(2, "<f4").tobytes())
        for names in (["IN"], ["IN", "MORE"], ["IN"]):
            inputs = [InferInput(name, "FP32", (1, 2), data) for name in names]
            remote.submit(InferRequest(inputs=inputs), pair.answered.append)
            await pair.turn()
        assert [list(each.inputs) for each in model.scheduled] == [["IN"], ["IN", "MORE"], ["IN"]]

    with_pair(scenario, group_rows)


def test_a_request_without_rows_goes_elsewhere() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        model.config = config(dims=[-1])
        model.signature = Signature(model.config)
        remote = await pair.model()
        request = InferRequest(inputs=[InferInput("IN", "FP32", (0, 0), memoryview(b""))])
        with pytest.raises(Elsewhere):
            remote.submit(request, pair.answered.append)

    with_pair(scenario)


@pytest.mark.parametrize("shared", [True, False])
def test_large_tensors_are_found_wherever_they_lie(shared: bool) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        model.config = config(dims=[20_000])
        model.config.input.add(name="IN2", data_type="TYPE_FP32", dims=[20_000])
        model.signature = Signature(model.config)
        remote = await pair.model()
        for gap in (0, 64):
            body = pair.front.room(160_000 + gap)
            elsewhere = memoryview(bytearray(80_000))
            parts = body[:80_000], body[80_000 + gap :] if shared else elsewhere
            for number, part in enumerate(parts, 1):
                part[:] = np.full(20_000, number + gap, "<f4").tobytes()
            inputs = [
                InferInput(name, "FP32", (1, 20_000), data) for name, data in zip(("IN", "IN2"), parts, strict=True)
            ]
            remote.submit(InferRequest(inputs=inputs), pair.answered.append)
            await pair.turn()
            arrived = {name: set(array.ravel().tolist()) for name, array in model.scheduled[-1].inputs.items()}
            assert arrived == {"IN": {1 + gap}, "IN2": {2 + gap}}

    with_pair(scenario)


def test_results_that_there_is_no_room_for_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        sent = await pair.send(await pair.model(), [1, 2])
        monkeypatch.setattr(pair.results, "take", raising(Unavailable("no room")))
        model.scheduled[0].succeed({"OUT": np.zeros((1, 2), "<f4")})
        await pair.turn()
        assert isinstance(sent.error, Unavailable)
        assert pair.requests.taken == 0

    with_pair(scenario)


def test_large_results_keep_their_slot_while_somebody_looks_at_them() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        sent = await pair.send(await pair.model(), [1, 2])
        model.scheduled[0].succeed({"OUT": np.ones((4, 50_000), "<f4")})
        await pair.turn()
        assert sent.results is not None
        view = sent.results["OUT"].reshape(-1).view(np.uint8).data
        sent.results = None
        await pair.turn()
        assert pair.results.taken == 1
        assert view[:4] == np.float32(1).tobytes()
        view.release()
        await pair.turn()
        assert pair.results.taken == 0

    with_pair(scenario)


def test_a_body_that_was_received_in_shared_memory_is_not_copied() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        model.signature = Signature(config(dims=[50_000]))
        model.config = config(dims=[50_000])
        remote = await pair.model()
        body = pair.front.room(200_003)
        body[3:] = np.arange(50_000, dtype="<f4").tobytes()
        request = InferRequest(inputs=[InferInput("IN", "FP32", (1, 50_000), body[3:])])
        sent = remote.submit(request, pair.answered.append)
        await pair.turn()
        (arrived,) = model.scheduled
        assert arrived.inputs["IN"].tolist() == [list(range(50_000))]
        assert pair.requests.taken == 1
        del body, request
        sent.on_done = lambda pending: None
        arrived.succeed({"OUT": np.zeros((1, 2), "<f4")})
        await pair.turn()
        assert pair.requests.taken == 1  # the request still has its inputs
        sent.inputs = {}
        assert pair.requests.taken == 0

    with_pair(scenario)


def test_errors_cross_with_their_status_and_retry_after() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        await pair.send(remote, [1, 2])
        model.scheduled[0].fail(Unavailable("full", retry_after=2.5))
        await pair.send(remote, [1, 2])
        model.scheduled[1].fail(NotFound("gone"))
        model.schedule = raising(Unavailable("no"))
        await pair.send(remote, [1, 2])
        full, gone, refused = [pending.error for pending in pair.answered]
        assert isinstance(full, Unavailable)
        assert (full.message, full.retry_after) == ("full", 2.5)
        assert isinstance(gone, NotFound)
        assert isinstance(refused, Unavailable)
        assert pair.requests.taken == 0
        pair.owner.connection_lost(None)
        assert not model.gone  # all of them have been answered

    with_pair(scenario)


def test_requests_of_one_moment_cross_together_and_get_what_is_theirs() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        sent = [pair.submit(remote, [number, 2 * number]) for number in range(1, 4)]
        assert not model.scheduled
        await pair.turn()
        (arrived,) = model.scheduled
        assert (arrived.count, arrived.rows, arrived.byte_size) == (3, 3, 24)
        assert arrived.inputs["IN"].tolist() == [[1, 2], [2, 4], [3, 6]]
        arrived.succeed({"OUT": arrived.inputs["IN"] + 10})
        await pair.turn()
        assert pair.answered == sent
        assert [pending.results["OUT"].tolist() for pending in sent if pending.results is not None] == [
            [[11, 12]],
            [[12, 14]],
            [[13, 16]],
        ]
        assert pair.requests.taken == pair.results.taken == 0

    with_pair(scenario, group_rows=4)


def test_a_group_has_no_more_rows_than_a_batch_and_requests_of_one_kind_only() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        for _ in range(5):
            pair.submit(remote, [0, 1])
        for _ in range(3):
            pair.submit(remote, [0, 1, 2, 3])
        pair.submit(remote, [0, 1], outputs=[RequestedOutput("OUT")])
        await pair.turn()
        assert [(each.count, each.rows, each.outputs) for each in model.scheduled] == [
            (4, 4, None),
            (1, 1, None),
            (2, 4, None),
            (1, 2, None),
            (1, 1, ("OUT",)),
        ]

    with_pair(scenario, group_rows=4)


@pytest.mark.parametrize("early", [False, True])
def test_inputs_are_copied_for_those_who_read_them_after_the_answer(early: bool) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        model.answers_early = early
        await pair.send(await pair.model(), [1, 2])
        (pending,) = model.scheduled
        shared = 0 <= pair.requests.find(pending.inputs["IN"]) < CAPACITY
        assert shared is not early
        assert pending.inputs["IN"].tolist() == [[1, 2]]

    with_pair(scenario)


@pytest.mark.parametrize("group_rows", [0, 4])
def test_each_request_is_told_its_own_id_when_the_group_fails(group_rows: int) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        for name in ("a", "b", ""):
            pair.submit(remote, [1, 2], id=name)
        await pair.turn()
        for pending in model.scheduled:
            pending.fail(queue_full(pending))
        await pair.turn()
        said = [pending.error.message for pending in pair.answered if isinstance(pending.error, Unavailable)]
        assert said == [f"[request id: {name}] Exceeds maximum queue size" for name in ("a", "b", "<id_unknown>")]

    with_pair(scenario, group_rows)


def test_who_gets_no_rows_of_an_output_that_is_too_short_is_told_so() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        for _ in range(2):
            pair.submit(remote, [1, 2])
        await pair.turn()
        model.scheduled[0].succeed({"OUT": np.zeros((1, 2), "<f4")})
        await pair.turn()
        first, second = pair.answered
        assert first.results is not None
        assert isinstance(second.error, Unsupported)
        assert "expected batch size of at least 2 in model output, got 1" in second.error.message

    with_pair(scenario, group_rows=4)


def test_a_group_is_given_up_when_all_of_its_clients_have_gone() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        first, second = [pair.submit(remote, [1, 2]) for _ in range(2)]
        await pair.turn()
        remote.request_gone(first)
        await pair.turn()
        assert not model.gone
        remote.request_gone(second)
        await pair.turn()
        assert model.gone == model.scheduled

    with_pair(scenario, group_rows=4)


def test_clients_that_hang_up_at_once_are_looked_for_once() -> None:
    looked_at = 0

    class Counted(tuple[Pending, ...]):
        def __iter__(self) -> Iterator[Pending]:
            nonlocal looked_at
            looked_at += 1
            return super().__iter__()

        def __contains__(self, pending: object) -> bool:
            nonlocal looked_at
            looked_at += 1
            return super().__contains__(pending)

    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        for _ in range(10):
            for _ in range(4):
                pair.submit(remote, [1, 2])
            await pair.turn()
        groups = pair.front._under_way
        for number, sent in groups.items():
            groups[number] = replace(sent, requests=Counted(sent.requests))
        gone = [pending for number, sent in groups.items() if number % 2 for pending in sent.requests]
        before = looked_at
        for pending in gone:
            remote.request_gone(pending)
        await pair.turn()
        assert model.gone == model.scheduled[1::2]
        assert looked_at - before <= 2 * len(groups)

    with_pair(scenario, group_rows=4)


def test_a_group_for_what_the_model_was_goes_elsewhere() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        pair.serving = FakeModel()
        for _ in range(2):
            pair.submit(remote, [1, 2])
        await pair.turn()
        assert [type(pending.error) for pending in pair.answered] == [Elsewhere, Elsewhere]
        assert not model.scheduled
        assert pair.requests.taken == 0

    with_pair(scenario, group_rows=4)


@pytest.mark.parametrize(("error", "wanted"), [(Unavailable("no room"), Elsewhere), (KeyError("oops"), KeyError)])
def test_requests_that_cannot_be_gathered_are_answered_all_the_same(
    error: Exception, wanted: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        monkeypatch.setattr(pair.requests, "take", raising(error))
        for _ in range(2):
            pair.submit(remote, [1, 2])
        await pair.turn()
        assert [type(pending.error) for pending in pair.answered] == [wanted] * 2

    with_pair(scenario, group_rows=4)


@pytest.mark.parametrize(("datatype", "elements"), [("TYPE_FP32", 20_000), ("TYPE_STRING", 2)])
def test_texts_and_large_bodies_go_alone(datatype: str, elements: int) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        model.config = ModelConfig(name="m", max_batch_size=4)
        model.config.input.add(name="IN", data_type=datatype, dims=[elements])
        model.signature = Signature(model.config)
        remote = await pair.model()
        name = model.signature.inputs["IN"].datatype.name
        request = InferRequest(inputs=[InferInput("IN", name, (1, elements), memoryview(bytes(4 * elements)))])
        sent = [remote.submit(request, pair.answered.append) for _ in range(2)]
        await pair.turn()
        assert [(each.count, each.byte_size) for each in model.scheduled] == [(1, each.byte_size) for each in sent]

    with_pair(scenario, group_rows=4)


def raising(error: Exception) -> Callable[[Any], Any]:
    def fails(argument: Any) -> Any:
        raise error

    return fails


def test_a_front_end_answers_its_owner() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        for _ in range(3 * BEATS_AT_START):
            assert pair.owner.ping(0)
            await pair.turn()

    with_pair(scenario)


def test_what_nobody_expected_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        model.schedule = raising(KeyError("oops"))
        sent = await pair.send(await pair.model(), [1, 2])
        assert isinstance(sent.error, Internal)
        assert sent.error.message == "unexpected failure: 'oops'"

    with_pair(scenario)
    assert "unexpected failure" in caplog.text


@pytest.mark.parametrize(
    "change",
    ["reloaded", "unloaded", "another version is the latest", "another is the latest and this one stays", "traced"],
)
def test_a_request_for_what_the_model_was_is_not_run(change: str) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
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

    with_pair(scenario)


def test_a_version_that_was_named_is_run_though_another_is_the_latest() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model(1)
        pair.serving, pair.older = FakeModel(version=2), model
        await pair.send(remote, [1, 2])
        assert len(model.scheduled) == 1

    with_pair(scenario)


def test_a_kind_made_for_a_model_that_is_no_more_is_not_run() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        pair.owner._epochs.clear()  # what the weak references of a freed model come to
        assert isinstance((await pair.send(remote, [1, 2])).error, Elsewhere)

    with_pair(scenario)


def test_a_client_that_hangs_up_is_told_to_the_model() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        remote = await pair.model()
        sent = await pair.send(remote, [1, 2])
        remote.request_gone(sent)
        await pair.turn()
        assert model.gone == model.scheduled
        assert pair.requests.taken == 1  # the model may still read it
        model.scheduled[0].succeed({})
        await pair.turn()
        assert pair.requests.taken == 0

    with_pair(scenario)


def test_requests_of_a_front_end_that_is_gone_are_given_up() -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        await pair.send(await pair.model(), [1, 2])
        pair.owner.connection_lost(None)
        assert model.gone == model.scheduled
        model.scheduled[0].succeed({"OUT": np.zeros((1, 2), "<f4")})
        assert pair.results.taken == 0

    with_pair(scenario)


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"k": 1}},
        {"correlation_id": 5},
        {"sequence_start": True},
        {"sequence_end": True},
        {"outputs": [RequestedOutput("OUT", classification=1)]},
    ],
)
def test_requests_with_more_than_tensors_go_elsewhere(more: dict[str, Any]) -> None:
    async def scenario(pair: Pair, model: FakeModel) -> None:
        with pytest.raises(Elsewhere):
            await pair.send(await pair.model(), [1, 2], **more)

    with_pair(scenario)


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


def test_a_body_that_shared_memory_has_no_room_for_is_received_elsewhere() -> None:
    lane = object.__new__(FrontLane)
    lane._channel = cast("Any", SimpleNamespace(room=raising(Unavailable("full"))))
    assert len(lane._room(5)) == 5


def test_layouts_are_alike_on_both_sides() -> None:
    assert isinstance(layout_of(()), Layout)
    assert layout_of(()).size == 0
