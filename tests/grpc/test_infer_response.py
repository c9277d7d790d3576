"""Results come back as a ModelInferResponse with the bytes of every output, without a copy of large ones."""

import asyncio
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import pytest
from tests.support.infer_messages import infer_message, output, tensor
from tests.support.serving import REPOSITORY

from despina.errors import DespinaError, Internal, InvalidArgument
from despina.grpc import infer_response
from despina.grpc.infer_request import read_request
from despina.grpc.infer_response import failed_in_stream, refused_in_stream, write_response, write_stream_response
from despina.grpc.messages import message_class
from despina.protocol.encode import Buffer
from despina.protocol.messages import InferRequest
from despina.run import load_models
from despina.scheduling.clock import LoopClock
from despina.scheduling.pending import Pending
from despina.server import Server
from despina.settings import Settings

ModelInferResponse = message_class("ModelInferResponse")
ModelStreamInferResponse = message_class("ModelStreamInferResponse")

DTYPES = {
    "bool": "?",
    "int8": "i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "fp16": "<f2",
    "fp32": "<f4",
    "fp64": "<f8",
}
FIELDS = {"int8": "int", "int16": "int", "int32": "int", "uint8": "uint", "uint16": "uint", "uint32": "uint"}
MODELS = (*(f"identity_{name}" for name in DTYPES), "identity_bytes", "identity_fp32_nb", "add_sub_fp32", "gather")

Write = Callable[[Any, InferRequest, Pending], list[Buffer]]


class Asked:
    """A server in this process, without a port."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.server = self._runner.run(self._start())

    async def _start(self) -> Server:
        settings = Settings(
            model_repository=(REPOSITORY,), model_control_mode="explicit", load_model=MODELS, allow_metrics=False
        )
        server = Server(settings, LoopClock(asyncio.get_running_loop()))
        await load_models(server)
        return server

    def close(self) -> None:
        self._runner.run(self.server.models.stop(10))
        self._runner.close()

    def buffers(self, message: Any, write: Write = write_response) -> list[Buffer]:
        return self._runner.run(self._buffers(message, write))

    async def _buffers(self, message: Any, write: Write) -> list[Buffer]:
        model = self.server.models.get(message.model_name, None)
        request = read_request(message, self.server.find_region)
        done: asyncio.Future[Pending] = asyncio.get_running_loop().create_future()
        model.submit(request, done.set_result)
        return write(model, request, await done)

    def response(self, message: Any) -> Any:
        return ModelInferResponse.FromString(b"".join(self.buffers(message)))


@pytest.fixture(scope="module")
def asked() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    asked.close()


@pytest.mark.parametrize("name", DTYPES)
def test_every_datatype_comes_back_as_it_was_sent(asked: Asked, name: str) -> None:
    array = np.arange(6).astype(DTYPES[name]).reshape(2, 3)
    model, datatype = f"identity_{name}", name.upper()
    messages = [infer_message([tensor("INPUT0", datatype, [2, 3])], [array.tobytes()], model=model)]
    if name != "fp16":
        contents = {FIELDS.get(name, name): array.ravel().tolist()}
        messages.append(infer_message([tensor("INPUT0", datatype, [2, 3], contents)], model=model))
    for message in messages:
        response = asked.response(message)
        assert (response.model_name, response.model_version, response.id) == (model, "1", "")
        (found,) = response.outputs
        assert (found.name, found.datatype, list(found.shape)) == ("OUTPUT0", datatype, [2, 3])
        assert list(response.raw_output_contents) == [array.tobytes()]
        assert not response.parameters


def test_texts_come_back_as_they_were_sent(asked: Asked) -> None:
    raw = b"\2\0\0\0ab\0\0\0\0"
    typed = tensor("INPUT0", "BYTES", [1, 2], {"bytes": [b"ab", b""]})
    messages = [
        infer_message([tensor("INPUT0", "BYTES", [1, 2])], [raw], model="identity_bytes"),
        infer_message([typed], model="identity_bytes"),
    ]
    for message in messages:
        assert list(asked.response(message).raw_output_contents) == [raw]


def pair(outputs: Any = (), request_id: str = "") -> Any:
    ones = np.ones((1, 16), "<f4").tobytes()
    inputs = [tensor("INPUT0", shape=[1, 16]), tensor("INPUT1", shape=[1, 16])]
    return infer_message(inputs, [ones, ones], outputs, "add_sub_fp32", request_id)


def test_outputs_are_in_the_order_of_their_names_with_their_data(asked: Asked) -> None:
    response = asked.response(pair(request_id="7"))
    assert response.id == "7"
    assert [found.name for found in response.outputs] == ["OUTPUT0", "OUTPUT1"]
    assert [np.frombuffer(data, "<f4")[0] for data in response.raw_output_contents] == [2, 0]
    response = asked.response(pair([output("OUTPUT1")]))
    assert [found.name for found in response.outputs] == ["OUTPUT1"]
    assert len(response.raw_output_contents) == 1


def test_classes_are_texts(asked: Asked) -> None:
    response = asked.response(pair([output("OUTPUT0", classification=1), output("OUTPUT1")]))
    first, second = response.outputs
    assert (first.datatype, list(first.shape), second.datatype) == ("BYTES", [1, 1], "FP32")
    size = int.from_bytes(response.raw_output_contents[0][:4], "little")
    assert response.raw_output_contents[0][4:].startswith(b"2.000000:0")
    assert len(response.raw_output_contents[0]) == 4 + size


def test_an_output_in_shared_memory_has_empty_contents(asked: Asked) -> None:
    segment = SharedMemory(create=True, size=64)
    try:
        asked.server.shared_memory.register_system("r", f"/{segment.name}", 0, 64)
        response = asked.response(pair([output("OUTPUT0", shared_memory_region="r", shared_memory_byte_size=64)]))
        (found,) = response.outputs
        assert (found.name, found.datatype, list(found.shape)) == ("OUTPUT0", "FP32", [1, 16])
        assert not found.parameters
        assert list(response.raw_output_contents) == [b""]
        assert segment.buf is not None
        assert bytes(segment.buf) == np.full(16, 2, "<f4").tobytes()
        with pytest.raises(Internal, match=r"'OUTPUT0' \(8 bytes\) should be at least 64 bytes to hold the results"):
            asked.buffers(pair([output("OUTPUT0", shared_memory_region="r", shared_memory_byte_size=8)]))
    finally:
        asked.server.shared_memory.unregister("system")
        segment.close()
        segment.unlink()


def test_no_elements_have_empty_contents(asked: Asked) -> None:
    response = asked.response(infer_message([tensor("INPUT0", shape=[0])], [b""], model="identity_fp32_nb"))
    assert list(response.outputs[0].shape) == [0]
    assert list(response.raw_output_contents) == [b""]


def test_large_data_is_not_copied(asked: Asked) -> None:
    results: list[Any] = []

    def write(model: Any, request: InferRequest, pending: Pending) -> list[Buffer]:
        results.append(pending.results)
        return write_response(model, request, pending)

    message = infer_message([tensor("INPUT0", shape=[65536])], [bytes(262144)], model="identity_fp32_nb")
    buffers = asked.buffers(message, write)
    assert [len(buffer) for buffer in buffers[1:]] == [4, 262144]
    assert np.shares_memory(np.frombuffer(buffers[-1], np.uint8), results[0]["OUTPUT0"])
    assert len(ModelInferResponse.FromString(b"".join(buffers)).raw_output_contents[0]) == 262144


def test_parameters_of_the_response(asked: Asked) -> None:
    given = {"flag": True, "count": 1 << 40, "ratio": 0.5, "text": "é"}

    def write(model: Any, request: InferRequest, pending: Pending) -> list[Buffer]:
        pending.response_parameters = dict(given)
        return write_response(model, request, pending)

    response = ModelInferResponse.FromString(b"".join(asked.buffers(pair(), write)))
    kinds = {key: value.WhichOneof("parameter_choice") for key, value in response.parameters.items()}
    assert kinds == {"flag": "bool_param", "count": "int64_param", "ratio": "double_param", "text": "string_param"}
    assert {key: getattr(value, kinds[key]) for key, value in response.parameters.items()} == given


def test_a_response_in_a_stream_says_that_it_is_the_last(asked: Asked) -> None:
    message = pair(request_id="7")
    streamed = ModelStreamInferResponse.FromString(b"".join(asked.buffers(message, write_stream_response)))
    assert streamed.error_message == ""
    response = streamed.infer_response
    assert list(response.parameters) == ["triton_final_response"]
    assert response.parameters["triton_final_response"].bool_param
    del response.parameters["triton_final_response"]
    assert response == asked.response(message)


def test_what_a_request_failed_with_is_raised(asked: Asked) -> None:
    message = infer_message([tensor("IDX", "INT64", [1])], [(1000).to_bytes(8, "little")], model="gather")
    with pytest.raises(DespinaError, match=r"onnx runtime error 2: .*indices element out of data bounds"):
        asked.buffers(message)


def test_a_response_that_grpc_cannot_carry_is_refused(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    message = pair()
    size = sum(map(len, asked.buffers(message)))
    monkeypatch.setattr(infer_response, "MAX_MESSAGE_SIZE", size)
    assert sum(map(len, asked.buffers(message))) == size
    monkeypatch.setattr(infer_response, "MAX_MESSAGE_SIZE", size - 1)
    with pytest.raises(InvalidArgument) as refused:
        asked.buffers(message)
    assert refused.value.message == f"Response has byte size {size} which exceeds gRPC's byte size limit {size - 1}."


def test_a_request_that_no_model_took_is_named_by_its_id() -> None:
    streamed = ModelStreamInferResponse.FromString(refused_in_stream("i\0j", "no such model"))
    assert (streamed.error_message, streamed.infer_response) == ("no such model", ModelInferResponse(id="i\0j"))


def test_a_request_that_has_failed_is_named_by_all_it_said() -> None:
    streamed = ModelStreamInferResponse.FromString(failed_in_stream("7", "m", "", "out of \udcff memory"))
    assert streamed.error_message == "out of ? memory"
    response = streamed.infer_response
    assert (response.id, response.model_name, response.model_version) == ("7", "m", "")
    assert {key: value.bool_param for key, value in response.parameters.items()} == {"triton_final_response": True}
