"""Infer requests that front ends pass on as they came: the owner's reply to them, through any front end."""

import gzip
import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.channels import FakeModel, Pair, config, paired, raising
from tests.support.front_ends import Serving, as_binary, as_json, post, server

from despina.errors import Unavailable
from despina.http.infer_exchange import InferReply
from despina.http.request_head import InferHead
from despina.http.workers.arena import CAPACITY
from despina.models.signature import Signature

SEQUENCES = """
backend: "identity"
max_batch_size: 4
sequence_batching { direct { } max_sequence_idle_microseconds: 60000000 }
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ 2 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
VALUES = {"INPUT0": ("FP32", [1, 2], [0.5, 2.0])}
LARGE = 300_000
"""Numbers, of which a reply is not sent in one piece with its message."""


@pytest.fixture
def serving(repository: Path) -> Iterator[Serving]:
    (repository / "sequences" / "1").mkdir(parents=True)
    (repository / "sequences" / "config.pbtxt").write_text('name: "sequences"\n' + SEQUENCES)
    with server(repository, ["--allow-client-shm=true"]) as serving:
        yield serving


@pytest.fixture
def segment() -> Iterator[SharedMemory]:
    made = SharedMemory(create=True, size=4 * LARGE)
    yield made
    made.close()
    made.unlink()


def infer(
    connection: http.client.HTTPConnection, model: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    connection.request("POST", f"/v2/models/{model}/infer", body, headers or {})
    response = connection.getresponse()
    answer = response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, answer


def sockets_of(serving: Serving) -> int:
    """Those that the owner has open."""
    descriptors = Path(f"/proc/{serving.process.pid}/fd").iterdir()
    return sum(str(descriptor.readlink()).startswith("socket:") for descriptor in descriptors)


def of_sequence(number: int, **flags: bool) -> bytes:
    return as_json(VALUES, parameters={"sequence_id": number, **flags})


def placed(name: str, count: int, **more: Any) -> dict[str, Any]:
    there = {"shared_memory_region": "region", "shared_memory_byte_size": 4 * count}
    return {"name": name, "parameters": there, **more}


def register(serving: Serving, segment: SharedMemory) -> None:
    key = json.dumps({"key": f"/{segment.name}", "byte_size": 4 * LARGE}).encode()
    assert serving.ask("POST", "/v2/systemsharedmemory/region/region/register", key)[0] == 200


def test_a_sequence_goes_on_through_another_front_end(serving: Serving) -> None:
    first, second = serving.connections_to_both()
    for number in range(1, 4):
        assert infer(first, "sequences", of_sequence(number, sequence_start=True))[0] == 200
        status, _, answer = infer(second, "sequences", of_sequence(number))
        assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, [0.5, 2.0])
        assert infer(first, "sequences", of_sequence(number, sequence_end=True))[0] == 200
        status, _, answer = infer(second, "sequences", of_sequence(number))
        assert status == 400
        assert b"must specify the START flag on the first request of the sequence" in answer
    status, _, answer = infer(first, "sequences", as_json(VALUES))
    assert status == 400
    assert b"must specify a non-zero or non-empty correlation ID" in answer


def test_tensors_in_shared_memory_are_read_and_written(serving: Serving, segment: SharedMemory) -> None:
    register(serving, segment)
    numbers = np.ndarray(4, "<f4", segment.buf)
    there = placed("OUTPUT0", 2)
    there["parameters"]["shared_memory_offset"] = 8
    body = json.dumps({"inputs": [placed("INPUT0", 2, datatype="FP32", shape=[1, 2])], "outputs": [there]}).encode()
    for round_number in range(3):
        for connection in serving.connections_to_both():
            numbers[:] = [round_number, 7, 0, 0]
            status, _, answer = infer(connection, "quick", body)
            assert status == 200
            assert "data" not in json.loads(answer)["outputs"][0]
            assert numbers.tolist() == [round_number, 7, round_number, 7]
    assert serving.ask("POST", "/v2/systemsharedmemory/unregister", b"")[0] == 200
    for connection in serving.connections_to_both():
        status, _, answer = infer(connection, "quick", body)
        assert (status, answer) == (404, b'{"error":"Unable to find shared memory region: \'region\'"}')


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_large_replies_come_whole(serving: Serving, segment: SharedMemory, encoding: str) -> None:
    register(serving, segment)
    np.ndarray(LARGE, "<f4", segment.buf)[:] = np.arange(LARGE)
    inputs = [placed("INPUT0", LARGE, datatype="FP32", shape=[1, LARGE])]
    body = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    for connection in serving.connections_to_both():
        for _ in range(3):
            status, headers, answer = infer(connection, "quick", body, {"Accept-Encoding": encoding})
            assert (status, headers.get("content-encoding", "")) == (200, encoding)
            answer = gzip.decompress(answer) if encoding else answer
            assert answer[int(headers["inference-header-content-length"]) :] == segment.buf[: 4 * LARGE]


def test_they_need_no_connection_to_the_application(serving: Serving, segment: SharedMemory) -> None:
    register(serving, segment)
    connections = serving.connections_to_both()
    for connection in connections:
        post(connection, "quick", as_json(VALUES))
    before = sockets_of(serving)
    classes = [{"name": "OUTPUT0", "parameters": {"classification": 1}}]
    inputs = [placed("INPUT0", 2, datatype="FP32", shape=[1, 2])]
    for connection in connections:
        assert infer(connection, "sequences", of_sequence(1, sequence_start=True, sequence_end=True))[0] == 200
        assert infer(connection, "quick", json.dumps({"inputs": inputs}).encode())[0] == 200
        assert infer(connection, "nobody", as_json(VALUES))[0] == 404
        assert infer(connection, "quick", b"wrong")[0] == 500
        told = [infer(connection, "quick", as_json(VALUES, outputs=classes, id="a")) for _ in range(3)]
        assert {json.loads(answer)["outputs"][0]["data"][0] for _, _, answer in told} == {"2.000000:1"}
        explained = post(connection, "quick", as_json(VALUES, parameters={"despina_explain": True}))
        assert json.loads(explained)["parameters"]["batch_rows"] == 1
        large = as_json({"INPUT0": ("FP32", [1, LARGE], [0.5] * LARGE)}, outputs=classes)
        assert json.loads(post(connection, "quick", large))["outputs"][0]["data"] == ["0.500000:0"]
    assert sockets_of(serving) == before


def test_those_whose_clients_have_gone_do_not_run(serving: Serving) -> None:
    body = as_json(VALUES, parameters={"despina_explain": True})
    for _ in range(3):
        for connection in serving.connections_to_both():
            connection.request("POST", "/v2/models/slow/infer", body)
    time.sleep(0.2)  # two of them run, and the others wait
    serving.hang_up()
    connection, _ = serving.connections_to_both()
    assert infer(connection, "slow", body)[0] == 200
    statistics = json.loads(serving.ask("GET", "/v2/models/slow/stats")[1])["model_stats"][0]
    assert statistics["inference_count"] == 3


HEAD = InferHead("m", None, 0, None, 0)


def large_model() -> FakeModel:
    model = FakeModel()
    model.config = config(dims=[50_000])
    model.signature = Signature(model.config)
    return model


def start(pair: Pair, body: bytes | memoryview, replies: list[InferReply], json_length: int | None = None) -> Any:
    header_length = None if json_length is None else str(json_length)
    return pair.front.exchanges.start(replace(HEAD, header_length=header_length), memoryview(body), replies.append)


def large_body(number: int) -> tuple[bytes, int]:
    return as_binary({"IN": ("FP32", [1, 50_000], np.full(50_000, number, "<f4").tobytes())})


@pytest.mark.parametrize("received_there", [True, False])
@pytest.mark.parametrize("kind", ["usual", "early", "sequences"])
async def test_a_large_body_lies_in_shared_memory_until_its_reply(kind: str, received_there: bool) -> None:
    async with paired() as (pair, model):
        pair.serving = model = large_model()
        model.answers_early = kind == "early"
        if kind == "sequences":
            model.config.sequence_batching.direct.SetInParent()
        body, json_length = large_body(3)
        received: bytes | memoryview = body
        if received_there:
            received = pair.front.room(len(body))
            received[:] = body
        replies: list[InferReply] = []
        start(pair, received, replies, json_length)
        del received
        await pair.turn()
        (pending,) = model.scheduled
        assert set(pending.inputs["IN"].ravel().tolist()) == {3}
        assert (0 <= pair.requests.find(pending.inputs["IN"]) < CAPACITY) == (kind == "usual")
        assert pair.requests.taken == 1
        pending.succeed({"OUT": pending.inputs["IN"]})
        await pair.turn()
        assert pair.requests.taken == 0
        (reply,) = replies
        assert (reply.status, reply.size) == (200, len(reply.buffers[0]))
        assert bytes(reply.buffers[0])[reply.header_length :] == body[json_length:]
        assert pair.results.taken == 1
        replies.clear()
        del reply
        await pair.turn()
        assert pair.results.taken == 0


async def test_a_large_body_that_there_is_no_room_for_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired() as (pair, model):
        monkeypatch.setattr(pair.requests, "take", raising(Unavailable("no room")))
        with pytest.raises(Unavailable):
            start(pair, bytes(100_000), [])
        await pair.turn()
        assert not model.scheduled


async def test_a_large_reply_that_there_is_no_room_for_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired() as (pair, model):
        pair.serving = model = large_model()
        replies: list[InferReply] = []
        start(pair, *large_body(1)[:1], replies, large_body(1)[1])
        await pair.turn()
        monkeypatch.setattr(pair.results, "take", raising(Unavailable("no room", retry_after=2.5)))
        model.scheduled[0].succeed({"OUT": np.zeros((1, 50_000), "<f4")})
        await pair.turn()
        (reply,) = replies
        assert (reply.status, reply.retry_after, reply.buffers) == (503, 2.5, [b'{"error":"no room"}'])


async def test_a_body_that_the_owner_cannot_take_is_an_error_of_that_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with paired() as (pair, model):
        monkeypatch.setattr(pair.owner._exchanges, "_body", lambda *args: raising(MemoryError())(None))
        replies: list[InferReply] = []
        for _ in range(2):
            start(pair, bytes(100_000), replies)
        await pair.turn()
        assert [reply.status for reply in replies] == [500, 500]
        assert not model.scheduled
        assert pair.requests.taken == 0


async def test_a_reply_that_cannot_be_delivered_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with paired() as (pair, _):
        replies: list[InferReply] = []
        pair.front.exchanges.start(HEAD, memoryview(b"{}"), raising(KeyError("oops")))
        start(pair, b"{}", replies)
        await pair.turn()
        assert [reply.status for reply in replies] == [500]
    assert "the answer of a request could not be delivered" in caplog.text


async def test_those_of_a_front_end_that_is_gone_are_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with paired() as (pair, _):
        pair.serving = model = large_model()
        body, json_length = large_body(1)
        start(pair, body, [], json_length)
        await pair.turn()
        pair.owner.connection_lost(None)
        assert model.gone == model.scheduled
        model.scheduled[0].succeed({"OUT": np.zeros((1, 50_000), "<f4")})
        assert pair.results.taken == 0
        assert "could not be delivered" not in caplog.text


async def test_a_client_that_hangs_up_is_told_once_and_there_is_a_reply_all_the_same() -> None:
    async with paired() as (pair, _):
        pair.serving = model = large_model()
        replies: list[InferReply] = []
        body, json_length = large_body(1)
        exchange = start(pair, body, replies, json_length)
        await pair.turn()
        exchange.abandon()
        await pair.turn()
        assert model.gone == model.scheduled
        model.scheduled[0].fail(Unavailable("gone"))
        await pair.turn()
        assert [reply.status for reply in replies] == [503]
        exchange.abandon()
        await pair.turn()
        assert model.gone == model.scheduled
