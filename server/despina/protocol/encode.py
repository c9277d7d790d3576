"""Results into an infer response (protocol §3): a JSON head and the binary tensors behind it, without copying them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from despina.errors import InvalidArgument
from despina.protocol import bytes_tensor
from despina.protocol.json import dumps, dumps_texts
from despina.protocol.messages import Array, OutputTensor, Parameter

Buffer = bytes | memoryview

_N = ord("n")

_SHORT = 32
"""Up to so many elements, a list of numbers is faster than what orjson needs to look into an array."""


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """`buffers` in the order they go on the wire, the JSON first. `header_length` is the length of the JSON when binary
    data follows, else 0."""

    buffers: Sequence[Buffer]
    header_length: int

    @property
    def size(self) -> int:
        return sum(map(len, self.buffers))


@dataclass(slots=True)
class EncodedOutput:
    """How an output goes into the response: inline `data`, or `binary` behind the JSON, or neither (shared memory).
    `sized` is False where a frame is to have a gap for the size of `binary`."""

    tensor: OutputTensor
    data: bytes | None = None
    binary: Buffer | None = None
    sized: bool = True


def encode_output(tensor: OutputTensor, binary: bool) -> EncodedOutput:
    """Raises InvalidArgument for datatypes JSON cannot carry."""
    if binary:
        return EncodedOutput(tensor, binary=binary_data(tensor.datatype, tensor.array))
    return EncodedOutput(tensor, data=json_data(tensor.datatype, tensor.array))


def binary_data(datatype: str, array: Array) -> Buffer:
    """A tensor's bytes, without a copy where the array is contiguous."""
    if datatype == "BYTES":
        return bytes_tensor.encode(array)
    if not array.size:
        return b""
    return array.ravel().view(np.uint8).data


def json_data(datatype: str, array: Array) -> bytes:
    """A tensor's elements as a flat JSON array; FP32 is widened to double first, as the real server prints it."""
    if datatype in ("FP16", "BF16"):
        raise InvalidArgument(
            f"sending {datatype} data via JSON is not supported. Please use the binary data format for output"
        )
    if datatype == "BYTES":
        return dumps_texts(_texts(array))
    flat = array.ravel()
    if flat.size <= _SHORT:
        text = orjson.dumps(flat.tolist())
    else:
        flat = flat.astype(np.float64, copy=False) if datatype == "FP32" else flat
        text = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)
    # What is no number in JSON has become null.
    return dumps(flat.tolist()) if _N in text else text


def _texts(array: Array) -> list[str]:
    elements: list[Any] = array.ravel().tolist()
    if bytes_tensor.is_texts(elements):
        return elements
    try:
        return list(map(bytes.decode, elements))
    except UnicodeDecodeError:
        return [element.decode("utf-8", "surrogateescape") for element in elements]


def encode_response(
    model: str,
    version: int,
    request_id: str,
    outputs: Sequence[EncodedOutput],
    parameters: Mapping[str, Parameter] | None = None,
) -> EncodedResponse:
    """Compose the response; outputs keep their order in the JSON and in the binary data."""
    frame = response_frame(model, version, request_id, outputs, parameters)
    pieces = [frame[0]]
    inline = iter(frame[1:])
    blobs: list[Buffer] = []
    for output in outputs:
        if output.data is not None:
            pieces += (output.data, next(inline))
        elif output.binary is not None and len(output.binary):
            blobs.append(output.binary)
    head = b"".join(pieces)
    return EncodedResponse([head, *blobs], len(head) if blobs else 0)


def response_frame(
    model: str,
    version: int,
    request_id: str,
    outputs: Sequence[EncodedOutput],
    parameters: Mapping[str, Parameter] | None = None,
) -> tuple[bytes, ...]:
    """The JSON of a response without the data of its JSON outputs and the sizes that are not known: one more piece than
    there are gaps, to be put before, between and after what fills them."""
    frame: list[bytes] = []
    pieces: list[bytes] = [b"{"]
    if request_id:
        pieces += (b'"id":', dumps(request_id), b",")
    pieces += (b'"model_name":', dumps(model), b',"model_version":"', str(version).encode(), b'"')
    if parameters:
        pieces += (b',"parameters":', dumps(dict(parameters)))
    pieces.append(b',"outputs":[')
    for number, output in enumerate(outputs):
        if number:
            pieces.append(b",")
        tensor = output.tensor
        shape = ",".join(map(str, tensor.array.shape)).encode()
        pieces += (
            b'{"name":',
            dumps(tensor.name),
            b',"datatype":"',
            tensor.datatype.encode(),
            b'","shape":[',
            shape,
            b"]",
        )
        if output.data is not None:
            frame.append(b"".join([*pieces, b',"data":']))
            pieces = []
        elif output.binary is not None:
            pieces.append(b',"parameters":{"binary_data_size":')
            if output.sized:
                pieces += (str(len(output.binary)).encode(), b"}")
            else:
                frame.append(b"".join(pieces))
                pieces = [b"}"]
        pieces.append(b"}")
    pieces.append(b"]}")
    return (*frame, b"".join(pieces))
