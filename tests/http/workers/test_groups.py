"""Requests of one moment cross as one."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.support.channels import FakeModel, paired, raising

from despina.config.proto import ModelConfig
from despina.errors import Unavailable, Unsupported
from despina.http.workers.remote_model import Elsewhere
from despina.models.signature import Signature
from despina.protocol.messages import InferInput, InferRequest, RequestedOutput
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import queue_full


async def test_requests_of_one_moment_cross_together_and_get_what_is_theirs() -> None:
    async with paired(4) as (pair, model):
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


async def test_a_group_has_no_more_rows_than_a_batch_and_requests_of_one_kind_only() -> None:
    async with paired(4) as (pair, model):
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


async def test_parameters_of_clients_keep_no_request_out_of_a_group() -> None:
    async with paired(4) as (pair, model):
        remote = await pair.model()
        for parameters in ({}, {"k": 1}, {"k": "x", "despina_explain": False}):
            pair.submit(remote, [1, 2], parameters=parameters)
        await pair.turn()
        assert [(each.count, dict(each.parameters)) for each in model.scheduled] == [(3, {})]


@pytest.mark.parametrize("group_rows", [0, 4])
async def test_each_request_is_told_its_own_id_when_the_group_fails(group_rows: int) -> None:
    async with paired(group_rows) as (pair, model):
        remote = await pair.model()
        for name in ("a", "b", ""):
            pair.submit(remote, [1, 2], id=name)
        await pair.turn()
        for pending in model.scheduled:
            pending.fail(queue_full(pending))
        await pair.turn()
        said = [pending.error.message for pending in pair.answered if isinstance(pending.error, Unavailable)]
        assert said == [f"[request id: {name}] Exceeds maximum queue size" for name in ("a", "b", "<id_unknown>")]


async def test_who_gets_no_rows_of_an_output_that_is_too_short_is_told_so() -> None:
    async with paired(4) as (pair, model):
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


async def test_a_group_is_given_up_when_all_of_its_clients_have_gone() -> None:
    async with paired(4) as (pair, model):
        remote = await pair.model()
        first, second = [pair.submit(remote, [1, 2]) for _ in range(2)]
        await pair.turn()
        remote.request_gone(first)
        await pair.turn()
        assert not model.gone
        remote.request_gone(second)
        await pair.turn()
        assert model.gone == model.scheduled


async def test_clients_that_hang_up_at_once_are_looked_for_once() -> None:
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

    async with paired(4) as (pair, model):
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


async def test_a_group_for_what_the_model_was_goes_elsewhere() -> None:
    async with paired(4) as (pair, model):
        remote = await pair.model()
        pair.serving = FakeModel()
        for _ in range(2):
            pair.submit(remote, [1, 2])
        await pair.turn()
        assert [type(pending.error) for pending in pair.answered] == [Elsewhere, Elsewhere]
        assert not model.scheduled
        assert pair.requests.taken == 0


@pytest.mark.parametrize(("error", "wanted"), [(Unavailable("no room"), Elsewhere), (KeyError("oops"), KeyError)])
async def test_requests_that_cannot_be_gathered_are_answered_all_the_same(
    error: Exception, wanted: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with paired(4) as (pair, _):
        remote = await pair.model()
        monkeypatch.setattr(pair.requests, "take", raising(error))
        for _ in range(2):
            pair.submit(remote, [1, 2])
        await pair.turn()
        assert [type(pending.error) for pending in pair.answered] == [wanted] * 2


@pytest.mark.parametrize(("datatype", "elements"), [("TYPE_FP32", 20_000), ("TYPE_STRING", 2)])
async def test_texts_and_large_bodies_go_alone(datatype: str, elements: int) -> None:
    async with paired(4) as (pair, model):
        model.config = ModelConfig(name="m", max_batch_size=4)
        model.config.input.add(name="IN", data_type=datatype, dims=[elements])
        model.signature = Signature(model.config)
        remote = await pair.model()
        name = model.signature.inputs["IN"].datatype.name
        request = InferRequest(inputs=[InferInput("IN", name, (1, elements), memoryview(bytes(4 * elements)))])
        sent = [remote.submit(request, pair.answered.append) for _ in range(2)]
        await pair.turn()
        assert [(each.count, each.byte_size) for each in model.scheduled] == [(1, each.byte_size) for each in sent]
