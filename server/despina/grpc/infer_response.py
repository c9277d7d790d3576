"""The results of a request as a ModelInferResponse, alone or in a stream (protocol §7).

Tensors stay where they are: their bytes are the last field of the message, and so they are put behind the rest of it
by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from despina.errors import InvalidArgument
from despina.grpc.messages import message_class
from despina.grpc.method import Message
from despina.grpc.wire import field_head
from despina.http.encoded_outputs import encode_outputs
from despina.http.placed_outputs import place_outputs, windows_of
from despina.protocol.encode import Buffer, EncodedOutput
from despina.protocol.messages import InferRequest, Parameter
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model

MAX_MESSAGE_SIZE = (1 << 31) - 1
"""Bytes of a message, that is, what gRPC can carry."""

FINAL_RESPONSE = "triton_final_response"
"""The parameter of a response in a stream that says whether it is the last one to its request."""

_RAW_OUTPUT_CONTENTS = 6
_INFER_RESPONSE = 2

_Response = message_class("ModelInferResponse")
_StreamResponse = message_class("ModelStreamInferResponse")


def write_response(model: Model, request: InferRequest, pending: Pending) -> list[Buffer]:
    """The serialized ModelInferResponse to a request that is done, in pieces. Outputs that go to shared memory are
    written there. Raises what the request failed with, and DespinaError when an output cannot go where it should."""
    return _write(model, request, pending, pending.response_parameters)[0]


def write_stream_response(model: Model, request: InferRequest, pending: Pending) -> list[Buffer]:
    """The same as a ModelStreamInferResponse, which says that it is the last one to its request."""
    parameters = {**(pending.response_parameters or {}), FINAL_RESPONSE: True}
    buffers, size = _write(model, request, pending, parameters)
    return [field_head(_INFER_RESPONSE, size), *buffers]


def refused_in_stream(request_id: str, text: str) -> bytes:
    """The serialized ModelStreamInferResponse to a request that no model took, with the reason. `request_id` is what
    the ModelInferRequest says."""
    return _stream_error(_Response(id=request_id), text)


def failed_in_stream(request_id: str, model: str, version: str, text: str) -> bytes:
    """The serialized ModelStreamInferResponse to a request that a model took and that has failed, with the reason.
    `request_id`, `model` and `version` are what the ModelInferRequest says."""
    response = _Response(id=request_id, model_name=model, model_version=version)
    response.parameters[FINAL_RESPONSE].bool_param = True
    return _stream_error(response, text)


def _stream_error(response: Message, text: str) -> bytes:
    # What a runtime says may be no text.
    text = text.encode("utf-8", "replace").decode()
    serialized: bytes = _StreamResponse(error_message=text, infer_response=response).SerializeToString()
    return serialized


def _write(
    model: Model, request: InferRequest, pending: Pending, parameters: Mapping[str, Parameter] | None
) -> tuple[list[Buffer], int]:
    """Buffers of the response, and their size."""
    if pending.error is not None:
        raise pending.error
    windows = windows_of(request) if request.outputs else None
    if windows is not None:
        place_outputs(model, windows, pending)
    outputs = encode_outputs(model, request, pending)
    buffers: list[Buffer] = [response_head(model.name, model.version, pending.id, outputs, parameters)]
    for output in outputs:
        data = output.binary
        if data:
            buffers += (field_head(_RAW_OUTPUT_CONTENTS, len(data)), data)
        else:
            buffers.append(field_head(_RAW_OUTPUT_CONTENTS, 0))
    size = sum(map(len, buffers))
    if size > MAX_MESSAGE_SIZE:
        raise InvalidArgument(f"Response has byte size {size} which exceeds gRPC's byte size limit {MAX_MESSAGE_SIZE}.")
    return buffers, size


def response_head(
    model: str,
    version: int,
    request_id: str,
    outputs: Sequence[EncodedOutput],
    parameters: Mapping[str, Parameter] | None,
) -> bytes:
    """The serialized response without the data of its outputs."""
    response = _Response(model_name=model, model_version=str(version), id=request_id)
    if parameters:
        _add_parameters(response.parameters, parameters)
    add = response.outputs.add
    for output in outputs:
        tensor = output.tensor
        add(name=tensor.name, datatype=tensor.datatype, shape=tensor.array.shape)
    head: bytes = response.SerializeToString()
    return head


def _add_parameters(target: Message, parameters: Mapping[str, Parameter]) -> None:
    for key, value in parameters.items():
        if isinstance(value, bool):
            target[key].bool_param = value
        elif isinstance(value, int):
            target[key].int64_param = value
        elif isinstance(value, float):
            target[key].double_param = value
        else:
            target[key].string_param = value
