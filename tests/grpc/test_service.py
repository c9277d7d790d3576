"""Calls of the service: which are answered, which refused, and what is left when clients go away."""

import asyncio
import gc
import zlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from tests.support.grpc_calls import INFER, STREAM, Calls, call_headers, prefixed, serving_calls
from tests.support.infer_messages import infer_message, tensor

from despina.grpc import incoming, status
from despina.grpc.http2.connection import Connection
from despina.grpc.http2.frames import ErrorCode, Flag, Kind, rst_stream, window_update
from despina.grpc.http2.stream import Stream
from despina.grpc.infer_call import InferCall
from despina.grpc.inference import Inference
from despina.grpc.messages import message_class
from despina.grpc.method import Method
from despina.grpc.method_call import MAX_BEGUN
from despina.grpc.service import InferenceService
from despina.grpc.service import _kind as method_kind
from despina.scheduling.pending import Pending

MODEL = "identity_fp32"
Response = message_class("ModelInferResponse")


@pytest.fixture
async def service() -> AsyncIterator[InferenceService]:
    async with serving_calls((MODEL, "ordered")) as service:
        yield service


def request(value: float = 1, request_id: str = "", model: str = MODEL, size: int = 3) -> bytes:
    data = np.full((1, size), value, "<f4").tobytes()
    message = infer_message([tensor("INPUT0", "FP32", [1, size])], [data], model=model, request_id=request_id)
    serialized: bytes = message.SerializeToString()
    return serialized


def value_of(answer: bytes) -> float:
    return float(np.frombuffer(Response.FromString(answer).raw_output_contents[0], "<f4")[0])


async def test_an_inference(service: InferenceService) -> None:
    code, _, (answer,) = await Calls(service).call(request(5, "7"))
    assert (code, value_of(answer), Response.FromString(answer).id) == (status.OK, 5.0, "7")


@pytest.mark.parametrize("sizes", [[1] * 300, [4, 1, 1000], [5, 1000], [70, 1000]])
async def test_a_message_may_come_in_any_pieces(service: InferenceService, sizes: list[int]) -> None:
    calls, data = Calls(service), prefixed(request(6))
    stream = calls.begin(INFER)
    for size in sizes:
        calls.send(stream, data[:size])
        data = data[size:]
    calls.send(stream, b"", end=True)
    assert [value_of(answer) for answer in (await calls.ended(stream)).answers] == [6.0]


async def test_a_large_message_may_come_when_there_is_room(service: InferenceService) -> None:
    calls, data = Calls(service), prefixed(request(7, size=500_000))
    stream = calls.begin(INFER)
    calls.client.send(window_update(0, 1 << 24), window_update(stream, 1 << 24))
    step = 60_000
    for begin in range(0, len(data), step):
        calls.send(stream, data[begin : begin + step])
    calls.send(stream, b"", end=True)
    (answer,) = (await calls.ended(stream)).answers
    assert value_of(answer) == 7.0
    assert len(answer) > 2_000_000
    budget = service._server.body_budget
    assert budget is not None
    assert budget.held == 0


async def test_a_message_holds_its_room_until_its_request_ends(service: InferenceService) -> None:
    calls, data = Calls(service), prefixed(request(7, size=40_000))
    budget = service._server.body_budget
    assert budget is not None
    stream = calls.begin(INFER)
    for begin in range(0, len(data), 60_000):
        calls.send(stream, data[begin : begin + 60_000])
    assert budget.held == len(data) - 5
    calls.client.send(window_update(0, 1 << 20), window_update(stream, 1 << 20))
    calls.send(stream, b"", end=True)
    assert budget.held == 0
    assert (await calls.ended(stream)).code == status.OK


async def test_a_whole_message_without_an_end_is_refused_when_others_wait(service: InferenceService) -> None:
    calls, data = Calls(service), prefixed(request(7, size=40_000))
    budget = service._server.body_budget
    assert budget is not None
    stream = calls.begin(INFER)
    for begin in range(0, len(data), 60_000):
        calls.send(stream, data[begin : begin + 60_000])
    (claim,) = budget._moving
    claim.sender.room_revoked()
    outcome = await calls.ended(stream)
    assert outcome.code == status.RESOURCE_EXHAUSTED
    assert f"{len(data) - 5} bytes" in outcome.message
    assert budget.held == 0


async def test_a_second_message_is_refused_when_it_begins(service: InferenceService) -> None:
    calls, data = Calls(service), prefixed(request(7, size=17_000))
    stream = calls.begin(INFER)
    for begin in range(0, len(data), 60_000):
        calls.send(stream, data[begin : begin + 60_000])
    calls.send(stream, data[:1000])
    assert await calls.ended(stream) == (status.INTERNAL, "more than one message in a call that takes one", [])
    budget = service._server.body_budget
    assert budget is not None
    assert budget.held == 0


async def test_a_message_is_unpacked_no_sooner_than_its_request_ends(
    service: InferenceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, unpacked = Calls(service), []
    inflate = incoming.inflate
    monkeypatch.setattr(incoming, "inflate", lambda *given: unpacked.append(1) or inflate(*given))
    stream = calls.begin(INFER, {"grpc-encoding": "gzip"})
    calls.send(stream, prefixed(request(8), packed=True))
    assert not unpacked
    calls.send(stream, b"", end=True)
    assert (await calls.ended(stream)).code == status.OK
    assert unpacked


@pytest.mark.parametrize("grace_ms", [0, 5000])
async def test_ages_are_in_milliseconds(monkeypatch: pytest.MonkeyPatch, grace_ms: int) -> None:
    told: list[tuple[float, float | None]] = []
    monkeypatch.setattr(Connection, "take_leave_after", lambda _, age_s, grace_s: told.append((age_s, grace_s)))
    ages = {"grpc_max_connection_age": 100_000, "grpc_max_connection_age_grace": grace_ms}
    async with serving_calls((MODEL,), **ages) as service:
        Calls(service)
    assert told == [(100.0, 5.0 if grace_ms else None)]


async def test_all_are_gone_when_the_last_one_is(service: InferenceService) -> None:
    first, second = Calls(service), Calls(service)
    gone = asyncio.Event()
    service.all_closed = gone.set
    first.client.connection.connection_lost(None)
    assert not gone.is_set()
    second.client.connection.connection_lost(None)
    assert gone.is_set()


async def test_two_messages_are_too_many_in_whatever_frames_they_come(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin(INFER)
    calls.send(stream, prefixed(request()))
    calls.send(stream, prefixed(request()), end=True)
    assert (await calls.ended(stream)).code == status.INTERNAL


async def test_messages_may_be_deflated(service: InferenceService) -> None:
    calls, packed = Calls(service), zlib.compress(request(8))
    stream = calls.begin(INFER, {"grpc-encoding": "deflate"})
    calls.send(stream, b"\1" + len(packed).to_bytes(4) + packed, end=True)
    assert [value_of(answer) for answer in (await calls.ended(stream)).answers] == [8.0]


async def test_compressed_messages_are_unpacked(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin(INFER, {"grpc-encoding": "gzip"})
    calls.send(stream, prefixed(request(8), packed=True), end=True)
    assert [value_of(answer) for answer in (await calls.ended(stream)).answers] == [8.0]


@pytest.mark.parametrize(
    ("data", "metadata", "code"),
    [
        (b"", {}, status.INTERNAL),
        (b"\0\0", {}, status.INTERNAL),
        (prefixed(b"")[:3], {}, status.INTERNAL),
        (prefixed(b"x" * 100)[:50], {}, status.INTERNAL),
        (prefixed(request()) + prefixed(request()), {}, status.INTERNAL),
        (prefixed(b"\xff\xff\xff"), {}, status.INTERNAL),
        (b"\0\xff\xff\xff\xff", {}, status.INVALID_ARGUMENT),
        (prefixed(request(), packed=True), {}, status.INTERNAL),
        (b"\1\0\0\0\5abcde", {"grpc-encoding": "gzip"}, status.INTERNAL),
        (prefixed(request(), packed=True)[:-8] + bytes(8), {"grpc-encoding": "gzip"}, status.INTERNAL),
        (prefixed(bytes(70_000_000), packed=True), {"grpc-encoding": "gzip"}, status.INVALID_ARGUMENT),
        (prefixed(request()), {"grpc-encoding": "snappy"}, status.UNIMPLEMENTED),
    ],
)
async def test_what_is_no_message_is_refused(
    service: InferenceService, data: bytes, metadata: dict[str, str], code: int
) -> None:
    calls = Calls(service)
    stream = calls.begin(INFER, metadata)
    for begin in range(0, max(len(data), 1), 60_000):
        calls.send(stream, data[begin : begin + 60_000], end=begin + 60_000 >= len(data))
    assert (await calls.ended(stream)).code == code
    assert (await calls.call(request(2))).code == status.OK


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (request(model="none"), status.NOT_FOUND, "Request for unknown model: 'none' is not found"),
        (infer_message([], model=MODEL).SerializeToString(), status.INVALID_ARGUMENT, "expected 1 inputs but got 0"),
    ],
)
async def test_a_refusal_has_the_text_of_the_error(
    service: InferenceService, message: bytes, code: int, text: str
) -> None:
    outcome = await Calls(service).call(message)
    assert outcome.code == code
    assert text in outcome.message


async def test_a_text_of_any_characters_is_told(service: InferenceService) -> None:
    name = "a%b\u00e9\u20ac\n" + 9000 * "x"
    outcome = await Calls(service).call(request(model=name))
    assert outcome.message.startswith("Request for unknown model: 'a%b\u00e9\u20ac\nxxx")
    assert len(outcome.message) < 7000


async def test_requests_are_logged_when_somebody_wants_to_know(
    service: InferenceService, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls(service)
    await calls.call(request())
    assert caplog.messages == []
    with caplog.at_level("DEBUG", "despina"):
        await calls.call(request(model="none"))
        await calls.call(b"", "/a")
    assert caplog.messages == [
        f"gRPC request: {INFER}",
        "Call failed: Request for unknown model: 'none' is not found",
        "gRPC request: /a",
    ]


async def test_unknown_methods_are_not_implemented(service: InferenceService) -> None:
    for path in ("/inference.GRPCInferenceService/Nothing", "/", ""):
        assert (await Calls(service).call(b"", path)).code == status.UNIMPLEMENTED


@pytest.mark.parametrize("change", [{":method": "GET"}, {"content-type": "application/json"}])
async def test_what_is_not_grpc_is_told_so(service: InferenceService, change: dict[str, str]) -> None:
    client = Calls(service).client
    client.send(client.headers(1, call_headers(INFER) | change, Flag.END_STREAM))
    assert client.answer(1).headers == {":status": "415"}
    assert client.answer(1).ended


async def test_other_methods_are_answered_on_the_same_connection(service: InferenceService) -> None:
    calls = Calls(service)
    live = message_class("ServerLiveResponse")
    for _ in range(2):
        outcome = await calls.call(b"", "/inference.GRPCInferenceService/ServerLive")
        assert [live.FromString(answer).live for answer in outcome.answers] == [True]
        assert (await calls.call(request())).code == status.OK


async def test_a_client_that_goes_away_takes_its_requests_along(service: InferenceService) -> None:
    calls = Calls(service)
    model = service._server.models.get(MODEL, None)
    streams = [calls.begin(INFER) for _ in range(3)]
    for stream in streams:
        calls.send(stream, prefixed(request()), end=True)
    calls.client.send(rst_stream(streams[0], ErrorCode.CANCEL))
    calls.client.connection.connection_lost(None)
    await model.drain()
    assert not service.connections


@pytest.mark.parametrize("message", [request(), request(model="none")])
async def test_calls_that_are_answered_do_not_wait_for_the_collector(service: InferenceService, message: bytes) -> None:
    calls = Calls(service)
    await calls.call(message)
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            await calls.call(message)
        left = [one for one in gc.get_objects() if isinstance(one, Inference | InferCall | Stream | Pending)]
    finally:
        gc.enable()
    assert len(left) == 0


async def test_calls_that_are_given_up_are_not_begun_or_count_until_they_are_done(
    service: InferenceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = 0, asyncio.Event()

    async def handle(message: object, server: object) -> object:
        nonlocal begun
        begun += 1
        await go_on.wait()
        return Response()

    path = "/inference.GRPCInferenceService/ServerReady"
    method = Method("ServerReady", Response, None, handle)
    monkeypatch.setitem(service._kinds, path.encode(), method_kind(method))
    calls = Calls(service)

    def ask() -> int:
        stream = calls.begin(path)
        calls.send(stream, prefixed(b""), end=True)
        return stream

    calls.client.send(rst_stream(ask(), ErrorCode.CANCEL))
    await asyncio.sleep(0)
    assert begun == 0
    for _ in range(MAX_BEGUN):
        stream = ask()
        await asyncio.sleep(0)
        calls.client.send(rst_stream(stream, ErrorCode.CANCEL))
    assert begun == MAX_BEGUN
    assert (await calls.ended(ask())).code == status.UNAVAILABLE
    go_on.set()
    await asyncio.sleep(0)
    assert (await calls.ended(ask())).code == status.OK


@pytest.mark.parametrize("path", [INFER, STREAM])
@pytest.mark.parametrize("known", [False, True])
async def test_the_model_hears_of_calls_that_are_cancelled(
    service: InferenceService, monkeypatch: pytest.MonkeyPatch, path: str, known: bool
) -> None:
    calls = Calls(service)
    for _ in range(3 if known else 0):
        assert (await calls.call(request())).code == status.OK
    model = service._server.models.get(MODEL, None)
    taken: list[Pending] = []
    gone: list[Pending] = []
    monkeypatch.setattr(model, "schedule", taken.append)
    monkeypatch.setattr(model._scheduler, "submit", taken.append)
    monkeypatch.setattr(model, "request_gone", gone.append)
    stream = calls.begin(path)
    calls.send(stream, prefixed(request()), end=True)
    assert (len(taken), gone) == (1, [])
    calls.client.send(rst_stream(stream, ErrorCode.CANCEL))
    assert gone == taken
    taken[0].succeed({"OUTPUT0": np.zeros((1, 3), "<f4")})
    assert calls.client.answer(stream).data == b""


# ------------------------------------------------------------------------------------------------------------ who may


async def test_without_a_key_only_probes_are_answered() -> None:
    async with serving_calls((MODEL,), api_key=("secret",)) as service:
        calls = Calls(service)
        outcome = await calls.call(request())
        assert (outcome.code, outcome.answers) == (status.UNAUTHENTICATED, [])
        assert "API key" in outcome.message
        assert (await calls.call(request(), metadata={"authorization": "Bearer wrong"})).code == status.UNAUTHENTICATED
        assert (await calls.call(request(), STREAM)).code == status.UNAUTHENTICATED
        assert (await calls.call(request(), metadata={"authorization": "Bearer secret"})).code == status.OK
        assert (await calls.call(request(), metadata={"x-api-key": "secret"})).code == status.OK
        assert (await calls.call(b"", "/inference.GRPCInferenceService/ServerReady")).code == status.OK
        assert (await calls.call(b"", "/grpc.health.v1.Health/Check")).code == status.OK
        metadata = "/inference.GRPCInferenceService/ServerMetadata"
        assert (await calls.call(b"", metadata)).code == status.UNAUTHENTICATED


async def test_a_restricted_protocol_wants_its_header() -> None:
    restricted = {"inference": ("triton-grpc-protocol-key", "value")}
    async with serving_calls((MODEL,), grpc_restricted_protocol=restricted) as service:
        calls = Calls(service)
        text = "This protocol is restricted, expecting header 'triton-grpc-protocol-key'"
        assert await calls.call(request()) == (status.UNAVAILABLE, text, [])
        for wrong in ({"triton-grpc-protocol-key": "other"}, {"triton-grpc-protocol-value": "value"}):
            assert await calls.call(request(), metadata=wrong) == (status.UNAVAILABLE, text, [])
        assert (await calls.call(request(), STREAM)).code == status.UNAVAILABLE
        assert (await calls.call(request(), metadata={"triton-grpc-protocol-key": "value"})).code == status.OK
        assert (await calls.call(b"", "/inference.GRPCInferenceService/ServerLive")).code == status.OK


async def test_headers_are_forwarded_as_parameters() -> None:
    async with serving_calls((MODEL,), grpc_header_forward_pattern="my-.*") as service:
        model = service._server.models.get(MODEL, None)
        seen = []
        submit = model.schedule
        model._scheduler.submit = lambda pending: (seen.append(dict(pending.parameters)), submit(pending))  # type: ignore[method-assign,func-returns-value]
        calls = Calls(service)
        for _ in range(3):
            assert (await calls.call(request(), metadata={"my-header": "1", "other": "2"})).code == status.OK
        assert seen == [{"my-header": "1"}] * 3


# --------------------------------------------------------------------------------------------------- known messages


async def test_messages_that_come_again_are_answered_alike(service: InferenceService) -> None:
    calls = Calls(service)
    answers = [(await calls.call(request(value, "abc"))).answers[0] for value in range(5)]
    assert [value_of(answer) for answer in answers] == [0, 1, 2, 3, 4]
    assert {Response.FromString(answer).id for answer in answers} == {"abc"}
    plain = [answer.replace(answers[0][-12:], answer[-12:]) for answer in answers]
    assert len({answer[:-12] for answer in plain}) == 1


async def test_ids_are_those_of_each_message(service: InferenceService) -> None:
    calls = Calls(service)
    ids = ["", "a", "b", "c", "", "d" * 127, "e" * 128, "f" * 300, "\u00e9", "g"]
    for request_id in ids:
        (answer,) = (await calls.call(request(1, request_id))).answers
        assert Response.FromString(answer).id == request_id


async def test_a_message_that_begins_like_a_known_one_and_ends_is_none(service: InferenceService) -> None:
    calls, message = Calls(service), request(1, "abc")
    for _ in range(3):
        assert (await calls.call(message)).code == status.OK
    before = message[: message.index(b"\x1a\x03abc")]
    outcome = await calls.call(before + b"\x1a")
    assert (outcome.code, outcome.message) == (status.INTERNAL, "Unable to parse request")


async def test_a_message_with_a_group_is_answered_each_time(service: InferenceService) -> None:
    calls, group = Calls(service), b"\xfb\x07\xfc\x07"
    for value in range(3):
        (answer,) = (await calls.call(request(value) + group)).answers
        assert value_of(answer) == value


async def test_shapes_are_those_of_each_message(service: InferenceService) -> None:
    calls = Calls(service)
    for size in (2, 2, 3, 2, 3, 3, 2):
        (answer,) = (await calls.call(request(size, size=size))).answers
        assert list(Response.FromString(answer).outputs[0].shape) == [1, size]
        assert value_of(answer) == size


async def test_a_model_that_is_gone_is_not_known_any_more(service: InferenceService) -> None:
    calls = Calls(service)
    for _ in range(3):
        assert (await calls.call(request())).code == status.OK
    await service._server.models.unload(MODEL, False)
    for _ in range(2):
        assert (await calls.call(request())).code in (status.NOT_FOUND, status.UNAVAILABLE)
    await service._server.models.load(MODEL, {})
    for _ in range(3):
        assert (await calls.call(request(9))).code == status.OK


async def test_all_calls_are_answered_when_the_server_takes_leave(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin(INFER)
    calls.send(stream, prefixed(request(3)), end=True)
    closed = asyncio.Event()
    service.all_closed = closed.set
    calls.client.connection.take_leave()
    assert (await calls.ended(stream)).code == status.OK
    await asyncio.sleep(0)
    assert calls.client.transport.closed


async def test_an_answer_that_leaves_together_with_others_is_the_last_one(service: InferenceService) -> None:
    calls = Calls(service)
    stream = calls.begin(INFER)
    calls.client.connection.take_leave()
    with service._server.outbox.together():
        calls.send(stream, prefixed(request(model="none")), end=True)
    assert (await calls.ended(stream)).code == status.NOT_FOUND
    await asyncio.sleep(0)
    assert calls.client.transport.closed


# -------------------------------------------------------------------------------------------------------- connections


async def test_a_client_who_does_not_get_as_far_as_a_connection_is_none(service: InferenceService) -> None:
    service.connection()  # and then its TLS fails
    assert not service.connections
    service.take_leave()
    late = Calls(service)
    late.client.read()
    assert [one.kind for one in late.client.control] == [Kind.GOAWAY, Kind.PING, Kind.GOAWAY]
    assert late.client.transport.closed


async def test_answers_to_inference_are_compressed_for_those_who_read_it() -> None:
    async with serving_calls((MODEL,), grpc_infer_response_compression_level="low") as service:
        calls = Calls(service)
        stream = calls.begin(INFER, {"grpc-accept-encoding": "identity, deflate, gzip"})
        calls.send(stream, prefixed(request(4, size=1000)), end=True)
        while not calls.client.answer(stream).ended:
            await asyncio.sleep(0)
        answer = calls.client.answer(stream)
        assert answer.headers["grpc-encoding"] == "gzip"
        assert (answer.data[0], int.from_bytes(answer.data[1:5])) == (1, len(answer.data) - 5)
        assert len(answer.data) < 200
        assert value_of(zlib.decompress(answer.data[5:], wbits=31)) == 4.0
        assert [value_of(answer) for answer in (await calls.call(request(4))).answers] == [4.0]


async def test_an_old_connection_takes_leave(service: InferenceService) -> None:
    old = Calls(service)
    old.client.connection.take_leave_after(0, None)
    stream = old.begin(INFER)
    await asyncio.sleep(0.01)
    old.client.read()
    assert [one.kind for one in old.client.control] == [Kind.GOAWAY, Kind.PING, Kind.GOAWAY]
    assert not old.client.transport.closed
    old.send(stream, prefixed(request(3)), end=True)
    assert (await old.ended(stream)).code == status.OK
    await asyncio.sleep(0)
    assert old.client.transport.closed


async def test_calls_of_an_old_connection_have_their_time_and_no_more(service: InferenceService) -> None:
    old = Calls(service)
    old.client.connection.take_leave_after(0, 0)
    old.begin(INFER)
    await old.closed()


async def test_a_connection_that_is_lost_does_not_grow_old(service: InferenceService) -> None:
    old = Calls(service)
    old.client.connection.take_leave_after(1000, None)
    timer = old.client.connection._leave._age
    assert timer is not None
    old.client.connection.connection_lost(None)
    assert timer.cancelled()


async def test_the_age_of_connections_is_in_milliseconds() -> None:
    async with serving_calls((MODEL,), grpc_max_connection_age=1, grpc_max_connection_age_grace=1) as service:
        calls = Calls(service)
        calls.begin(INFER)
        await calls.closed()


async def test_a_request_that_is_not_whole_is_not_waited_for_when_the_server_ends(service: InferenceService) -> None:
    calls = Calls(service)
    begun, half, whole = (calls.begin(INFER) for _ in range(3))
    calls.send(half, prefixed(request(1))[:20])
    calls.send(whole, prefixed(request(2)), end=True)
    service.take_leave()
    assert [(await calls.ended(stream)).code for stream in (begun, half, whole)] == [
        status.UNAVAILABLE,
        status.UNAVAILABLE,
        status.OK,
    ]
    await calls.closed()
