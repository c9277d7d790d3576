"""ModelStreamInfer: answers come in the order of their requests, errors too, and the stream goes on."""

import asyncio
import gc
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
from tests.support.grpc_calls import STREAM, Calls, prefixed, serving_calls
from tests.support.infer_messages import infer_message, tensor

from despina.errors import Unavailable
from despina.grpc import status
from despina.grpc.http2.connection import STREAM_WINDOW
from despina.grpc.http2.frames import ErrorCode, rst_stream, window_update
from despina.grpc.inference import Inference
from despina.grpc.messages import message_class
from despina.grpc.service import InferenceService
from despina.grpc.stream_call import MAX_UNANSWERED, MAX_UNSENT
from despina.scheduling.pending import Pending
from despina.scheduling.request_queue import QueueFull

MODEL = "identity_fp32"
Response = message_class("ModelStreamInferResponse")


@pytest.fixture
async def service() -> AsyncIterator[InferenceService]:
    async with serving_calls((MODEL, "identity_int64")) as service:
        yield service


def request(value: int, model: str = MODEL, datatype: str = "<f4") -> bytes:
    data = np.full((1, 2), value, datatype).tobytes()
    name = "INT64" if datatype == "<i8" else "FP32"
    message = infer_message([tensor("INPUT0", name, [1, 2])], [data], model=model, request_id=str(value))
    return prefixed(message.SerializeToString())


def large_request(size: int) -> bytes:
    """One with so many bytes of data."""
    inputs = [tensor("INPUT0", "FP32", [1, size // 4])]
    return prefixed(infer_message(inputs, [bytes(size)], model=MODEL).SerializeToString())


def answered(answers: Sequence[bytes]) -> list[Any]:
    return [Response.FromString(answer) for answer in answers]


async def test_answers_come_in_the_order_of_the_requests(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    for value in range(10):
        model, datatype = (MODEL, "<f4") if value % 2 else ("identity_int64", "<i8")
        calls.send(stream, request(value, model, datatype))
    calls.send(stream, b"", end=True)
    outcome = await calls.ended(stream)
    assert outcome.code == status.OK
    answers = answered(outcome.answers)
    assert [answer.infer_response.id for answer in answers] == [str(value) for value in range(10)]
    assert all(answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers)


async def test_requests_may_be_cut_anywhere(service: InferenceService) -> None:
    data = b"".join(request(value) for value in range(8))
    for step in (1, 7, 64, len(data)):
        calls = Calls(service)
        stream = calls.begin()
        for begin in range(0, len(data), step):
            calls.send(stream, data[begin : begin + step])
        calls.send(stream, b"", end=True)
        answers = answered((await calls.ended(stream)).answers)
        assert [answer.infer_response.id for answer in answers] == [str(value) for value in range(8)]


async def test_an_error_is_an_answer_like_others(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    calls.send(stream, request(1) + request(2, "none") + request(3, MODEL, "<i8") + request(4), end=True)
    outcome = await calls.ended(stream)
    assert outcome.code == status.OK
    first, second, third, fourth = answered(outcome.answers)
    assert (first.error_message, first.infer_response.id) == ("", "1")
    assert second.error_message == "Request for unknown model: 'none' is not found"
    assert (second.infer_response.id, second.infer_response.model_name) == ("2", "")
    assert "[request id: 3]" in third.error_message
    assert fourth.infer_response.id == "4"


async def test_the_first_error_ends_a_stream_that_asks_for_it(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin(STREAM, {"triton_grpc_error": "true"})
    calls.send(stream, request(1) + request(2, "none") + request(3))
    outcome = await calls.ended(stream)
    assert outcome.code == status.NOT_FOUND
    assert outcome.message == "Request for unknown model: 'none' is not found"
    assert [answer.infer_response.id for answer in answered(outcome.answers)] == ["1"]
    alone = calls.begin(STREAM, {"triton_grpc_error": "true"})
    calls.send(alone, request(2, "none"))
    assert await calls.ended(alone) == (status.NOT_FOUND, outcome.message, [])


async def test_inferences_that_are_answered_do_not_wait_for_the_collector(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    model = service._server.models.get(MODEL, None)
    gc.collect()
    gc.disable()
    try:
        for value in range(5):
            calls.send(stream, request(value) + request(value, "none"))
            await model.drain()
        async with asyncio.timeout(10):  # the instance's thread may still hold the last batch
            while any(isinstance(one, Inference | Pending) for one in gc.get_objects()):
                await asyncio.sleep(0.001)
    finally:
        gc.enable()


async def test_only_who_asks_for_it_has_errors_end_the_stream(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin(STREAM, {"triton_grpc_error": "false"})
    calls.send(stream, request(2, "none") + request(3), end=True)
    outcome = await calls.ended(stream)
    assert (outcome.code, len(outcome.answers)) == (status.OK, 2)


async def test_answers_are_compressed_for_those_who_read_it() -> None:
    async with serving_calls((MODEL,), grpc_infer_response_compression_level="high") as service:
        calls = Calls(service)
        stream = calls.begin(STREAM, {"grpc-accept-encoding": "gzip"})
        calls.send(stream, request(1), end=True)
        async with asyncio.timeout(20):
            while not (answer := calls.client.answer(stream)).ended:
                await asyncio.sleep(0.001)
        assert answer.headers["grpc-encoding"] == "gzip"
        assert answer.data[0] == 1
        (streamed,) = answered([zlib.decompress(answer.data[5:], wbits=31)])
        assert streamed.infer_response.id == "1"


async def test_a_stream_without_requests_ends_well(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    calls.send(stream, b"", end=True)
    assert await calls.ended(stream) == (status.OK, "", [])


@pytest.mark.parametrize("data", [b"\0\0", b"\1\0\0\0\1a", b"\0\xff\xff\xff\xff"])
async def test_what_is_no_message_ends_the_stream(service: InferenceService, data: bytes) -> None:
    calls = Calls(service)
    stream = calls.begin()
    calls.send(stream, data, end=True)
    assert (await calls.ended(stream)).code in (status.INTERNAL, status.INVALID_ARGUMENT)


async def test_a_client_may_send_no_more_than_is_answered(service: InferenceService) -> None:
    """The window does not grow while too many requests wait."""
    model = service._server.models.get(MODEL, None)
    waiting: list[Any] = []
    model._scheduler.submit = model.schedule = waiting.append  # type: ignore[method-assign,assignment]
    calls = Calls(service)
    stream = calls.begin()
    one = request(1)
    for _ in range(MAX_UNANSWERED):
        calls.send(stream, one)
    (open_one,) = calls.client.connection._streams.values()
    while (window := open_one.receive_window) >= STREAM_WINDOW // 2:
        calls.send(stream, one)
    calls.send(stream, one * 100)
    assert open_one.receive_window == window - 100 * len(one)
    for pending in waiting:
        pending.succeed({"OUTPUT0": np.zeros((1, 2), "<f4")})
    assert open_one.receive_window == STREAM_WINDOW


async def test_a_request_that_was_known_and_is_refused_has_its_id(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    for value in range(3):
        calls.send(stream, request(value))
    model = service._server.models.get(MODEL, None)
    await model.drain()

    def refuse(pending: Any) -> None:
        raise QueueFull("too many")

    model.schedule = refuse  # type: ignore[method-assign]
    calls.send(stream, request(7), end=True)
    last = answered((await calls.ended(stream)).answers)[-1]
    assert (last.error_message, last.infer_response.id, last.infer_response.model_name) == ("too many", "7", "")


async def test_a_request_that_was_known_and_fails_is_named_by_what_it_said(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    for value in range(3):
        calls.send(stream, request(value))
    model = service._server.models.get(MODEL, None)
    await model.drain()
    model.schedule = lambda pending: pending.fail(Unavailable("gone"))  # type: ignore[method-assign]
    calls.send(stream, request(7), end=True)
    last = answered((await calls.ended(stream)).answers)[-1]
    response = last.infer_response
    assert (last.error_message, response.id, response.model_name, response.model_version) == ("gone", "7", MODEL, "")


async def test_the_model_hears_of_requests_that_it_has_not_answered(
    service: InferenceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = service._server.models.get(MODEL, None)
    taken: list[Pending] = []
    gone: list[Pending] = []
    monkeypatch.setattr(model, "schedule", taken.append)
    monkeypatch.setattr(model._scheduler, "submit", taken.append)
    monkeypatch.setattr(model, "request_gone", gone.append)
    calls = Calls(service)
    stream = calls.begin()
    calls.send(stream, request(1) + request(2) + request(3))
    taken[1].succeed({"OUTPUT0": np.zeros((1, 2), "<f4")})
    calls.client.send(rst_stream(stream, ErrorCode.CANCEL))
    assert gone == [taken[0], taken[2]]


async def test_answers_wait_for_a_client_that_does_not_read(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    data = np.zeros((1, 5000), "<f4").tobytes()
    message = infer_message([tensor("INPUT0", "FP32", [1, 5000])], [data], model=MODEL).SerializeToString()
    for _ in range(5):
        calls.send(stream, prefixed(message))
    await service._server.models.get(MODEL, None).drain()
    assert 40_000 < len(calls.client.answer(stream).data) <= 65_535
    calls.client.send(window_update(0, 1 << 20), window_update(stream, 1 << 20))
    calls.send(stream, b"", end=True)
    assert len((await calls.ended(stream)).answers) == 5


async def test_a_client_that_does_not_read_may_not_send_on(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    (open_one,) = calls.client.connection._streams.values()
    one = large_request(50_000)
    sent = 0
    while open_one.receive_window >= len(one) and sent < 2 * MAX_UNSENT:
        calls.send(stream, one)
        sent += len(one)
        await service._server.models.get(MODEL, None).drain()
    assert sent < MAX_UNSENT + 3 * STREAM_WINDOW
    calls.client.send(window_update(0, 1 << 24), window_update(stream, 1 << 24))
    assert open_one.receive_window == STREAM_WINDOW


async def test_an_error_that_waits_behind_answers_is_the_end(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin(metadata={"triton_grpc_error": "true"})
    model = service._server.models.get(MODEL, None)
    for _ in range(2):
        calls.send(stream, large_request(60_000))
        await model.drain()
    calls.send(stream, request(1, "none") + request(2))
    calls.send(stream, request(3), end=True)
    calls.client.send(window_update(0, 1 << 24), window_update(stream, 1 << 24))
    outcome = await calls.ended(stream)
    assert (outcome.code, len(outcome.answers)) == (status.NOT_FOUND, 2)


async def test_a_large_request_waits_for_room(service: InferenceService) -> None:
    budget = service._server.body_budget
    assert budget is not None
    budget.limit = 1_000_000
    calls = Calls(service)
    one = large_request(800_000)
    first, second = calls.begin(), calls.begin()
    calls.send(first, one[:20_000])
    calls.send(second, one[:20_000])
    windows = {number: call.receive_window for number, call in calls.client.connection._streams.items()}
    assert windows == {first: len(one) - 20_000, second: STREAM_WINDOW - 20_000}
    calls.send(second, one[20_000:60_000])
    assert calls.client.connection._streams[second].receive_window == STREAM_WINDOW - 60_000
    calls.client.send(rst_stream(first, ErrorCode.CANCEL))
    assert calls.client.connection._streams[second].receive_window == len(one) - 60_000
    calls.client.send(rst_stream(second, ErrorCode.CANCEL))
    assert budget.held == budget.waiting == 0


async def test_a_stream_that_is_reset_gives_its_requests_up(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    calls.send(stream, request(1) + request(2))
    calls.client.send(rst_stream(stream, ErrorCode.CANCEL))
    model = service._server.models.get(MODEL, None)
    await model.drain()
    assert not model.in_flight
    assert calls.client.answer(stream).data == b""


async def test_a_stream_that_waits_for_nothing_ends_with_the_server(service: InferenceService) -> None:
    idle, busy = Calls(service), Calls(service)
    waiting_one, answered_one = idle.begin(), busy.begin()
    idle.send(waiting_one, request(1))
    await idle.answers(waiting_one, 1)
    busy.send(answered_one, request(2))
    service.take_leave()
    text = "GRPC server is shutting down and has stopped accepting new requests."
    for calls, stream, value in ((idle, waiting_one, "1"), (busy, answered_one, "2")):
        outcome = await calls.ended(stream)
        assert (outcome.code, outcome.message) == (status.UNAVAILABLE, text)
        assert [answer.infer_response.id for answer in answered(outcome.answers)] == [value]


async def test_a_stream_on_a_connection_that_comes_too_late_ends(service: InferenceService) -> None:
    """Its client has not heard of the end yet."""
    service.take_leave()
    late = Calls(service)
    assert (await late.ended(late.begin())).code == status.UNAVAILABLE


async def test_a_stream_goes_on_when_its_connection_grows_old(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin()
    calls.client.connection.take_leave()
    calls.send(stream, request(1))
    await calls.answers(stream, 1)
    calls.send(stream, request(2), end=True)
    assert (await calls.ended(stream)).code == status.OK
