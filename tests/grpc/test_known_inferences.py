"""What a connection knows of its messages changes no answer."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import fields
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
from tests.support.grpc_calls import Calls, Outcome, serving_calls
from tests.support.infer_messages import infer_message, output, tensor
from tests.support.serving import REPOSITORY

from despina.errors import Unavailable
from despina.grpc import inference, status
from despina.grpc.http2.frames import window_update
from despina.grpc.known_inferences import MAX_KINDS, MAX_SIZES, MAX_TEXT
from despina.grpc.messages import message_class
from despina.grpc.response_kind import response_kind
from despina.grpc.service import InferenceService
from despina.protocol.messages import InferRequest, RequestedOutput
from despina.scheduling.pending import Pending

Response = message_class("ModelInferResponse")
MODELS = (
    "identity_fp32",
    "identity_fp32_nb",
    "identity_fp16",
    "identity_bool",
    "identity_int64",
    "identity_bytes",
    "add_sub_fp32",
    "mixed",
    "optional_in",
    "reshape_io",
    "reshape_scalar",
    "scalar_out",
    "two_var",
    "rich",
)

Make = Callable[[int, str], bytes]
"""A message from a number for its tensors, and an id."""


@pytest.fixture
async def service() -> AsyncIterator[InferenceService]:
    async with serving_calls(MODELS) as service:
        yield service


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The messages that were not known."""
    taken: list[bytes] = []
    parse = inference.parse_request

    def count(data: bytes | memoryview) -> Any:
        taken.append(bytes(data))
        return parse(data)

    monkeypatch.setattr(inference, "parse_request", count)
    return taken


@pytest.fixture(scope="module")
def region() -> Iterator[str]:
    segment = SharedMemory(create=True, size=64)
    yield segment.name
    segment.close()
    segment.unlink()


def said(outcome: Outcome) -> tuple[int, str, list[Any]]:
    return outcome.code, outcome.message, [Response.FromString(answer) for answer in outcome.answers]


def caller(service: InferenceService) -> Calls:
    """A client whose answers may be as many as they like."""
    calls = Calls(service)
    calls.client.send(window_update(0, 1 << 30))
    return calls


async def asked_afresh(service: InferenceService, message: bytes) -> tuple[int, str, list[Any]]:
    """What somebody is told of whom nothing is known."""
    return said(await Calls(service).call(message))


async def check(service: InferenceService, calls: Calls, message: bytes) -> None:
    assert said(await calls.call(message)) == await asked_afresh(service, message)


def making(
    shape: list[int],
    dtype: str = "<f4",
    model: str = "identity_fp32",
    inputs: tuple[str, ...] = ("INPUT0",),
    datatype: str = "FP32",
    version: str = "",
    **more: Any,
) -> Make:
    def make(value: int, request_id: str) -> bytes:
        tensors = [tensor(name, datatype, shape) for name in inputs]
        raw = [np.full(shape, value + number, dtype).tobytes() for number in range(len(inputs))]
        message = infer_message(tensors, raw, model=model, request_id=request_id, **more)
        message.model_version = version
        serialized: bytes = message.SerializeToString()
        return serialized

    return make


def before_the_id(make: Make, extra: bytes) -> Make:
    """With a field more behind the name of the model."""

    def changed(value: int, request_id: str) -> bytes:
        data = make(value, request_id)
        end = 2 + data[1]
        return data[:end] + extra + data[end:]

    return changed


KNOWN: dict[str, Make] = {
    "one input": making([1, 3]),
    "a batch": making([4, 3]),
    "two inputs": making([1, 16], model="add_sub_fp32", inputs=("INPUT0", "INPUT1")),
    "two inputs in another order": making([1, 16], model="add_sub_fp32", inputs=("INPUT1", "INPUT0")),
    "two outputs of other shapes": making([2, 3], model="two_var"),
    "half floats": making([1, 3], "<f2", "identity_fp16", datatype="FP16"),
    "truth values": making([1, 3], "?", "identity_bool", datatype="BOOL"),
    "numbers": making([1, 3], "<i8", "identity_int64", datatype="INT64"),
    "a model that does not batch": making([5], model="identity_fp32_nb"),
    "an optional input that is there": making([3], model="optional_in", inputs=("A", "B")),
    "and one that is not": making([3], model="optional_in", inputs=("A",)),
    "a scalar": making([3], model="scalar_out", inputs=("X",)),
    "a version": making([1, 3], version="1"),
    "parameters": making([1, 3], parameters={"text": "a", "number": 5}),
    "a priority and a timeout": making([1, 3], model="rich", parameters={"priority": 1, "timeout": 10_000_000}),
    "one of two outputs": making(
        [1, 16], model="add_sub_fp32", inputs=("INPUT0", "INPUT1"), outputs=[output("OUTPUT1")]
    ),
    "both in another order": making(
        [1, 16], model="add_sub_fp32", inputs=("INPUT0", "INPUT1"), outputs=[output("OUTPUT1"), output("OUTPUT0")]
    ),
    "no elements": making([0], model="identity_fp32_nb"),
    "many bytes": making([1, 10_000]),
    "a field of a later protocol": before_the_id(making([1, 3]), b"\x78\x05"),
}


@pytest.mark.parametrize("make", KNOWN.values(), ids=list(KNOWN))
async def test_what_differs_in_data_and_ids_is_known(
    service: InferenceService, parsed: list[bytes], make: Make
) -> None:
    calls = caller(service)
    for value in range(2):
        assert (await calls.call(make(value, "id"))).code == status.OK
    for value, request_id in enumerate(["id", "di", "", "longer", "x" * 127]):
        message = make(value, request_id)
        parsed.clear()
        outcome = said(await calls.call(message))
        assert parsed == []
        assert outcome == await asked_afresh(service, message)
        assert outcome[0] == status.OK


@pytest.mark.parametrize("request_id", ["\u00e9", "a\0b", "x" * 128])
async def test_an_id_that_is_not_plain_is_left_to_protobuf(
    service: InferenceService, parsed: list[bytes], request_id: str
) -> None:
    calls = caller(service)
    for _ in range(3):
        await calls.call(KNOWN["one input"](1, "id"))
    parsed.clear()
    message = KNOWN["one input"](2, request_id)
    assert said(await calls.call(message)) == await asked_afresh(service, message)
    assert parsed == [message, message]


def typed(value: int, request_id: str) -> bytes:
    inputs = [tensor("INPUT0", "FP32", [1, 3], {"fp32": [value] * 3})]
    serialized: bytes = infer_message(inputs, model="identity_fp32", request_id=request_id).SerializeToString()
    return serialized


def with_more(make: Make, more: bytes) -> Make:
    return lambda value, request_id: make(value, request_id) + more


def turned_around(value: int, request_id: str) -> bytes:
    """The contents before all else."""
    message = infer_message([tensor("INPUT0", "FP32", [1, 3])], model="identity_fp32", request_id=request_id)
    serialized: bytes = message.SerializeToString()
    return b"\x3a\x0c" + np.full(3, value, "<f4").tobytes() + serialized


def with_the_id_behind(value: int, request_id: str) -> bytes:
    """Behind the inputs, and before their contents."""
    data = KNOWN["one input"](value, "")
    return data[:-14] + b"\x1a" + bytes((len(request_id),)) + request_id.encode() + data[-14:]


def texts(value: int, request_id: str) -> bytes:
    raw = [b"\1\0\0\0" + bytes((48 + value,))]
    inputs = [tensor("INPUT0", "BYTES", [1, 1])]
    serialized: bytes = infer_message(inputs, raw, model="identity_bytes", request_id=request_id).SerializeToString()
    return serialized


def texts_of_eight_bytes(value: int, request_id: str) -> bytes:
    """As many as the object of a text takes in an array, beside numbers."""
    inputs = [tensor("X"), tensor("K", "INT64"), tensor("T", "BYTES"), tensor("H", "FP16")]
    raw = [bytes(4), bytes(8), b"\4\0\0\0abc" + bytes((48 + value,)), bytes(2)]
    message = infer_message(inputs, raw, [output("Z")], "mixed", request_id)
    serialized: bytes = message.SerializeToString()
    return serialized


PLACE = {"shared_memory_region": "r", "shared_memory_byte_size": 12}


def placed_input(value: int, request_id: str) -> bytes:
    inputs = [tensor("INPUT0", "FP32", [1, 3], **PLACE)]
    serialized: bytes = infer_message(inputs, model="identity_fp32", request_id=request_id).SerializeToString()
    return serialized


NEVER_KNOWN: dict[str, Make] = {
    "texts": texts,
    "texts that look like numbers": texts_of_eight_bytes,
    "typed contents": typed,
    "contents that are left over": with_more(KNOWN["one input"], b"\x3a\x01a"),
    "fields in another order": turned_around,
    "an id in another place": with_the_id_behind,
    "two ids": before_the_id(KNOWN["one input"], b"\x1a\x01z"),
    "a field behind the tensors": with_more(KNOWN["one input"], b"\x7a\x01a"),
    "a number behind the tensors": with_more(KNOWN["one input"], b"\x78\x05"),
    "a group": with_more(KNOWN["one input"], b"\x7b\x7c"),
    "no rows": making([0, 0]),
    "a long text": making([1, 3], parameters={"a": "x" * MAX_TEXT}),
    "classes": making(
        [1, 16], model="add_sub_fp32", inputs=("INPUT0", "INPUT1"), outputs=[output("OUTPUT0", classification=2)]
    ),
    "outputs of another shape than the model's": making([1, 4], model="reshape_io"),
    "an input in shared memory": placed_input,
    "an output in shared memory": making([1, 3], outputs=[output("OUTPUT0", **PLACE)]),
}


@pytest.mark.parametrize("make", NEVER_KNOWN.values(), ids=list(NEVER_KNOWN))
async def test_what_differs_in_more_is_read_each_time(
    service: InferenceService, parsed: list[bytes], make: Make, region: str
) -> None:
    service._server.shared_memory.register_system("r", f"/{region}", 0, 64)
    calls = caller(service)
    for value in range(4):
        message = make(value, "id")
        outcome = said(await calls.call(message))
        assert outcome[0] == status.OK
        assert parsed[-1] == message
        assert len(parsed) == 2 * value + 1
        assert outcome == await asked_afresh(service, message)


async def test_responses_with_texts_are_of_no_kind(service: InferenceService) -> None:
    model = service._server.models.get("mixed", None)
    assert response_kind(model, InferRequest()) is None
    assert response_kind(model, InferRequest(outputs=[RequestedOutput("A", binary=True)])) is None
    kind = response_kind(
        model, InferRequest(outputs=[RequestedOutput("Z", binary=True), RequestedOutput("C", binary=True)])
    )
    assert kind is not None
    assert kind.outputs == (("C", "FP64"), ("Z", "FP32"))


async def test_a_message_that_comes_once_is_not_kept(service: InferenceService, parsed: list[bytes]) -> None:
    calls = Calls(service)
    make = KNOWN["one input"]
    await calls.call(make(1, "id"))
    await calls.call(make(2, "id"))
    assert len(parsed) == 2
    await calls.call(make(3, "id"))
    assert len(parsed) == 2


async def test_many_kinds_by_turns(service: InferenceService) -> None:
    calls = caller(service)
    for turn in range(4):
        for make in [*KNOWN.values(), *list(NEVER_KNOWN.values())[:10]]:
            await check(service, calls, make(turn, f"{turn}"))
    (client,) = [service.connections[calls.client.connection]]
    assert len(client.known._kinds) <= MAX_KINDS
    assert len(client.known._seen) <= MAX_SIZES


async def test_some_kinds_by_turns_are_known(service: InferenceService, parsed: list[bytes]) -> None:
    calls = caller(service)
    makes = [*KNOWN.values(), *(making([1, 20 + size]) for size in range(MAX_KINDS - len(KNOWN)))]
    for turn in range(4):
        parsed.clear()
        for make in makes:
            assert (await calls.call(make(turn, "id"))).code == status.OK
    assert parsed == []


async def test_what_is_known_of_one_connection_is_not_known_of_another(
    service: InferenceService, parsed: list[bytes]
) -> None:
    first, second = caller(service), caller(service)
    for _ in range(3):
        await first.call(KNOWN["one input"](1, "id"))
    parsed.clear()
    await second.call(KNOWN["one input"](1, "id"))
    assert len(parsed) == 1


async def test_a_message_that_begins_like_one_that_is_known(service: InferenceService) -> None:
    calls, make = Calls(service), KNOWN["two inputs"]
    for value in range(3):
        await calls.call(make(value, "id"))
    data = make(3, "id")
    second = data.rindex(b"\x3a\x40")
    for changed in (
        data[:second] + b"\x42" + data[second + 1 :],  # a field of which nothing is known
        data[:second] + b"\x3a\x3f" + data[second + 2 :],  # shorter contents
        data[:-1],
        data + b"\x3a\x00",
        data[: data.index(b"\x1a") + 1],
        data[: data.index(b"\x1a") + 2],
        data[: data.index(b"\x1a")],
        data.replace(b"INPUT1", b"INPUT2"),
        data.replace(b"FP32", b"FP16", 1),
        data.replace(b"\x01\x10", b"\x10\x01", 1),
        data.replace(b"add_sub_fp32", b"add_sub_fp33"),
        b"",
    ):
        assert changed != data
        await check(service, calls, changed)
    await check(service, calls, data)


def replaced_by(model: str) -> dict[str, Any]:
    """The parameters of a load that makes a model another one."""
    folder: Path = REPOSITORY / model
    return {
        "config": f'{{"backend": "onnxruntime", "max_batch_size": 8, "name": "{model}"}}',
        "file:1/model.onnx": (folder / "1" / "model.onnx").read_bytes(),
    }


async def test_a_model_that_takes_something_else_now_is_asked_anew(service: InferenceService) -> None:
    calls, make = Calls(service), KNOWN["one input"]
    as_integers = making([1, 3], "<i4", datatype="INT32")
    for _ in range(2):
        for value in range(3):
            await check(service, calls, make(value, "id"))
        parameters = replaced_by("identity_int32") | {
            "config": '{"backend": "onnxruntime", "max_batch_size": 8, "name": "identity_fp32"}'
        }
        await service._server.models.load("identity_fp32", parameters)
        assert (await calls.call(make(1, "id"))).code == status.INVALID_ARGUMENT
        for value in range(3):
            await check(service, calls, as_integers(value, "id"))
        await service._server.models.load("identity_fp32", {})
        assert (await calls.call(as_integers(1, "id"))).code == status.INVALID_ARGUMENT


async def test_a_new_version_of_a_model_answers_who_asks_for_the_latest(
    service: InferenceService, parsed: list[bytes]
) -> None:
    calls = Calls(service)
    named, latest = making([1, 3], version="1"), making([1, 3])
    for _ in range(3):
        await calls.call(named(1, "id"))
        await calls.call(latest(1, "id"))
    onnx = (REPOSITORY / "identity_fp32" / "1" / "model.onnx").read_bytes()
    config = '{"backend": "onnxruntime", "max_batch_size": 8, "version_policy": {"all": {}}}'
    files = {"config": config, "file:1/model.onnx": onnx, "file:2/model.onnx": onnx}
    await service._server.models.load("identity_fp32", files)
    for _ in range(3):
        assert said(await calls.call(named(1, "id")))[2][0].model_version == "1"
        assert said(await calls.call(latest(1, "id")))[2][0].model_version == "2"
    parsed.clear()
    await calls.call(named(1, "id"))
    await calls.call(latest(1, "id"))
    assert parsed == []


async def test_a_model_that_is_gone_is_not_kept(service: InferenceService) -> None:
    calls = caller(service)
    for _ in range(3):
        await calls.call(KNOWN["one input"](1, "id"))
    model = ref(service._server.models.get("identity_fp32", None))
    await service._server.models.unload("identity_fp32", False)
    assert (await calls.call(KNOWN["one input"](1, "id"))).code == status.NOT_FOUND
    async with asyncio.timeout(20):
        while model() is not None:
            gc.collect()
            await asyncio.sleep(0.01)


def taken_down(service: InferenceService, name: str) -> list[Pending]:
    """What comes to a model from now on."""
    model = service._server.models.get(name, None)
    seen: list[Pending] = []
    submit = model.schedule

    def take(pending: Pending) -> None:
        seen.append(pending)
        submit(pending)

    model.schedule = model._scheduler.submit = take  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [("add_sub_fp32", ("INPUT0", "INPUT1"), ("OUTPUT1", "OUTPUT0")), ("identity_fp32", ("INPUT0",), ("OUTPUT0",))],
)
async def test_the_model_is_asked_the_same(
    service: InferenceService, model: str, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    seen = taken_down(service, model)
    parameters = {
        "sequence_id": 7,
        "sequence_start": True,
        "sequence_end": True,
        "priority": 3,
        "timeout": 9_000_000,
        "mine": "yes",
    }
    make = making(
        [2, 16],
        model=model,
        inputs=inputs,
        outputs=[output(name) for name in outputs],
        parameters=parameters,
    )
    calls = caller(service)
    for _ in range(3):
        assert (await calls.call(make(5, "id"))).code == status.OK
    first, _, known = seen
    for one in fields(Pending):
        if not one.name.endswith("_ns") and one.name not in ("inputs", "on_done", "results"):
            assert getattr(known, one.name) == getattr(first, one.name), one.name
    assert known.client is service.connections[calls.client.connection]
    assert known.inputs.keys() == first.inputs.keys()
    for name, array in known.inputs.items():
        assert (array.dtype, array.shape) == (first.inputs[name].dtype, first.inputs[name].shape)
        assert np.array_equal(array, first.inputs[name])


async def test_a_known_request_that_fails_is_refused_with_the_reason(service: InferenceService) -> None:
    calls, make = caller(service), KNOWN["one input"]
    for value in range(3):
        await calls.call(make(value, "id"))
    model = service._server.models.get("identity_fp32", None)
    model.schedule = lambda pending: pending.fail(Unavailable("gone"))  # type: ignore[method-assign]
    assert await calls.call(make(3, "id")) == (status.UNAVAILABLE, "gone", [])


async def test_the_tensors_of_a_large_message_are_views_of_it(service: InferenceService) -> None:
    seen = taken_down(service, "identity_fp32")
    known = service.connections[(calls := caller(service)).client.connection].known
    for value in range(2):
        await calls.call(KNOWN["many bytes"](value, "id"))
    data = KNOWN["many bytes"](3, "id")
    for form in (data, memoryview(data)):
        found = known.find(form)
        assert found is not None
        assert np.shares_memory(found.inputs["INPUT0"], np.frombuffer(data, "u1"))
        assert np.array_equal(found.inputs["INPUT0"], np.full((1, 10_000), 3, "<f4"))
    assert len(seen) == 2


async def test_more_kinds_than_are_kept(service: InferenceService) -> None:
    calls = caller(service)
    makes = [making([1, 1 + size]) for size in range(2 * MAX_SIZES)]
    for turn in range(2):
        for make in makes[: MAX_SIZES - 1], makes:
            for one in make:
                assert said(await calls.call(one(turn, "id")))[0] == status.OK
    known = service.connections[calls.client.connection].known
    assert len(known._kinds) <= MAX_KINDS
    assert max(len(known._of_size), len(known._seen)) <= MAX_SIZES
    await check(service, calls, makes[7](3, "id"))


async def test_the_kinds_that_came_last_are_kept(service: InferenceService, parsed: list[bytes]) -> None:
    calls = caller(service)
    makes = [making([1, 1 + size]) for size in range(MAX_KINDS + 5)]
    for make in makes:
        for _ in range(2):
            await calls.call(make(1, "id"))
    parsed.clear()
    for make in makes[-5:]:
        await calls.call(make(2, "longer"))
    assert parsed == []
    await calls.call(makes[0](2, "longer"))
    assert len(parsed) == 1


async def test_kinds_of_one_size_are_told_apart(service: InferenceService, parsed: list[bytes]) -> None:
    calls = caller(service)
    makes = [
        making([1, 16], model="add_sub_fp32", inputs=names) for names in (("INPUT0", "INPUT1"), ("INPUT1", "INPUT0"))
    ]
    for value in range(3):
        for make in makes:
            await check(service, calls, make(value, "id"))
    parsed.clear()
    for make in makes:
        await calls.call(make(5, "id"))
        await calls.call(make(6, "longer"))
    assert parsed == []
