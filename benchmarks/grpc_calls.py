"""ModelInfer calls over gRPC: rendered beforehand for the load generator, answers taken apart, and single calls."""

from collections.abc import Sequence

import numpy as np
from google.protobuf.message import DecodeError
from hpack import Encoder

from benchmarks.requests import DATATYPES, raw_tensor
from benchmarks.verify import ANSWER_S
from benchmarks.workload import Workload
from despina.grpc.messages import message_class
from despina_backends.base import Array

METHOD = "/inference.GRPCInferenceService/ModelInfer"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM, END_HEADERS = 1, 4
HEAD = 9
"""Bytes of a frame before its payload."""
LARGEST_FRAME = 16384
"""Bytes of payload that every server takes; what a server allows beyond that only the generator hears."""
WINDOW = (1 << 31) - 1
"""The largest one there is: no answer ever waits for room."""
HEADER_FIELDS = (
    (":path", METHOD),
    (":authority", "127.0.0.1"),
    (":method", "POST"),
    (":scheme", "http"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("grpc-accept-encoding", "identity, deflate, gzip"),
    ("user-agent", "grpc-python/1.85.3 grpc-c/58.0.0 (linux; chttp2)"),
)
"""Those of Triton's client, in its order."""


def infer_message(workload: Workload, row: int) -> bytes:
    """The ModelInferRequest with the given row, its tensors raw."""
    request = message_class("ModelInferRequest")(model_name=workload.name)
    for name, rows in workload.inputs.items():
        tensor = np.ascontiguousarray(rows[row : row + 1])
        request.inputs.add(name=name, datatype=DATATYPES[tensor.dtype.name], shape=tensor.shape)
        request.raw_input_contents.append(raw_tensor(tensor))
    request.outputs.add(name=workload.output)
    message: bytes = request.SerializeToString()
    return message


def beginning(message: bytes) -> bytes:
    """All that a client sends on a new connection for two calls with this message: in the second one the headers are
    found in the server's table. As gRPC's own clients write it, but for the windows."""
    settings = ((2, 0), (3, 0), (4, WINDOW), (5, 1 << 22), (6, LARGEST_FRAME))
    payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in settings)
    room = (WINDOW - 65535).to_bytes(4, "big")
    encoder = Encoder()
    first, second = (encoder.encode(HEADER_FIELDS) for _ in range(2))
    parts = [PREFACE, _frame(SETTINGS, 0, 0, payload), _frame(WINDOW_UPDATE, 0, 0, room)]
    return b"".join([*parts, *_call(1, first, message), *_call(3, second, message)])


def _call(stream: int, block: bytes, message: bytes) -> Sequence[bytes]:
    data = b"\0" + len(message).to_bytes(4, "big") + message
    frames = [_frame(HEADERS, END_HEADERS, stream, block)]
    for at in range(0, len(data), LARGEST_FRAME):
        flags = END_STREAM if at + LARGEST_FRAME >= len(data) else 0
        frames.append(_frame(DATA, flags, stream, data[at : at + LARGEST_FRAME]))
    return frames


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def message_of(sent: bytes) -> bytes:
    """The message of the first call of what `beginning` made."""
    data, at = b"", len(PREFACE)
    while True:
        length, kind, flags = int.from_bytes(sent[at : at + 3], "big"), sent[at + 3], sent[at + 4]
        if kind == DATA:
            data += sent[at + HEAD : at + HEAD + length]
            if flags & END_STREAM:
                return data[5:]
        at += HEAD + length


def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Make the call of one rendered request with gRPC's own client, on a connection of its own: 200 and the answer's
    message, or gRPC's status and what is said of it."""
    import grpc  # nobody else needs it

    channel = grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),))
    with channel:
        try:
            return 200, {}, channel.unary_unary(METHOD)(message_of(request), timeout=ANSWER_S)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            return code.value[0], {}, str(details).encode()


def infer_answer(workload: Workload, message: bytes) -> Array:
    """The output tensor of a ModelInferResponse."""
    try:
        response = message_class("ModelInferResponse").FromString(message)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    (output,), (raw,) = response.outputs, response.raw_output_contents
    return np.frombuffer(raw, workload.expected.dtype).reshape(output.shape)
