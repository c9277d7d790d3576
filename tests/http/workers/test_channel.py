"""What crosses between a front end and its owner."""

import asyncio
from threading import get_ident
from typing import Any

import numpy as np
import pytest
from tests.support.channels import config, paired, raising
from tests.support.front_ends import as_json

from despina.errors import Internal, NotFound, Unavailable
from despina.http.request_head import InferHead
from despina.http.workers.arena import CAPACITY
from despina.http.workers.patience import BEATS_AT_START
from despina.models.signature import Signature
from despina.protocol.messages import InferInput, InferRequest, RequestedOutput
from despina.scheduling.outbox import Writer


async def test_a_request_crosses_and_its_results_come_back() -> None:
    async with paired() as (pair, model):
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


async def test_an_array_that_lies_behind_the_arena_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired() as (pair, _):
        for offset, found in ((-1, None), (0, 0), (CAPACITY - 1, CAPACITY - 1), (CAPACITY, None)):
            monkeypatch.setattr(pair.requests, "find", lambda array, offset=offset: offset)
            assert pair.front.find(np.zeros(1)) == found


@pytest.mark.parametrize("group_rows", [0, 4])
async def test_requests_that_differ_in_more_than_data_stay_apart(group_rows: int) -> None:
    async with paired(group_rows) as (pair, model):
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


@pytest.mark.parametrize("group_rows", [0, 4])
async def test_an_input_that_may_be_left_out_crosses_when_it_is_there(group_rows: int) -> None:
    async with paired(group_rows) as (pair, model):
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


@pytest.mark.parametrize("shared", [True, False])
async def test_large_tensors_are_found_wherever_they_lie(shared: bool) -> None:
    async with paired() as (pair, model):
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


async def test_results_that_there_is_no_room_for_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired() as (pair, model):
        sent = await pair.send(await pair.model(), [1, 2])
        monkeypatch.setattr(pair.results, "take", raising(Unavailable("no room")))
        model.scheduled[0].succeed({"OUT": np.zeros((1, 2), "<f4")})
        await pair.turn()
        assert isinstance(sent.error, Unavailable)
        assert pair.requests.taken == 0


async def test_large_results_keep_their_slot_while_somebody_looks_at_them() -> None:
    async with paired() as (pair, model):
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


@pytest.mark.parametrize("passed_on", [False, True])
async def test_a_slot_whose_results_another_thread_saw_last_is_released_by_the_loops(
    passed_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with paired() as (pair, model):
        remote, body = await pair.model(), as_json({"IN": ("FP32", [1, 2], [1, 2])})
        views: list[Any] = []
        if passed_on:
            pair.front.exchanges.start(
                InferHead("m", None, 0, None, 0), memoryview(body), lambda reply: views.extend(reply.buffers)
            )
        else:
            pair.submit(remote, [1, 2])
        await pair.turn()
        model.scheduled[0].succeed({"OUT": np.ones((4, 50_000), "<f4")})
        await pair.turn()
        for pending in pair.answered:
            assert pending.results is not None
            views.append(pending.results.pop("OUT"))
        assert pair.results.taken == 1
        threads: list[int] = []
        put = pair.front.outbox.put

        def noting(writer: Writer, data: bytes) -> None:
            threads.append(get_ident())
            put(writer, data)

        monkeypatch.setattr(pair.front.outbox, "put", noting)
        await asyncio.to_thread(views.clear)
        await pair.turn()
        assert threads == [get_ident()]
        assert pair.results.taken == 0


async def test_a_body_that_was_received_in_shared_memory_is_not_copied() -> None:
    async with paired() as (pair, model):
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


async def test_errors_cross_with_their_status_and_retry_after() -> None:
    async with paired() as (pair, model):
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


@pytest.mark.parametrize("early", [False, True])
async def test_inputs_are_copied_for_those_who_read_them_after_the_answer(early: bool) -> None:
    async with paired() as (pair, model):
        model.answers_early = early
        await pair.send(await pair.model(), [1, 2])
        (pending,) = model.scheduled
        shared = 0 <= pair.requests.find(pending.inputs["IN"]) < CAPACITY
        assert shared is not early
        assert pending.inputs["IN"].tolist() == [[1, 2]]


async def test_a_front_end_answers_its_owner() -> None:
    async with paired() as (pair, _):
        for _ in range(3 * BEATS_AT_START):
            assert pair.owner.ping(0)
            await pair.turn()


async def test_what_nobody_expected_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    async with paired() as (pair, model):
        model.schedule = raising(KeyError("oops"))
        sent = await pair.send(await pair.model(), [1, 2])
        assert isinstance(sent.error, Internal)
        assert sent.error.message == "unexpected failure: 'oops'"
    assert "unexpected failure" in caplog.text


async def test_a_client_that_hangs_up_is_told_to_the_model() -> None:
    async with paired() as (pair, model):
        remote = await pair.model()
        sent = await pair.send(remote, [1, 2])
        remote.request_gone(sent)
        await pair.turn()
        assert model.gone == model.scheduled
        assert pair.requests.taken == 1  # the model may still read it
        model.scheduled[0].succeed({})
        await pair.turn()
        assert pair.requests.taken == 0


async def test_requests_of_a_front_end_that_is_gone_are_given_up() -> None:
    async with paired() as (pair, model):
        await pair.send(await pair.model(), [1, 2])
        pair.owner.connection_lost(None)
        assert model.gone == model.scheduled
        model.scheduled[0].succeed({"OUT": np.zeros((1, 2), "<f4")})
        assert pair.results.taken == 0
