"""Calls over gRPC with odd messages: any field of the request of any method, or its bytes, and streams of good and odd
ones."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from google.protobuf.message import DecodeError
from tests.differential.kinds import ELEMENTS, INPUTS, OUTPUTS, WITHOUT_BATCHES, on_the_wire, value_of

from despina.grpc.messages import message_class

SERVICE = "/inference.GRPCInferenceService"
STREAM = "ModelStreamInfer"
HEALTH = "/grpc.health.v1.Health/Check"

KEYS = (
    *("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "mine", "", "binary_data", "triton_mine"),
    *("triton_enable_empty_final_response", "classification", "shared_memory_region", "shared_memory_byte_size"),
    *("shared_memory_offset", "config", "file:1/model.onnx", "unload_dependents", "trace_level", "trace_rate"),
    *("trace_count", "log_frequency", "trace_file", "trace_mode", "log_info", "log_verbose_level", "log_format"),
    *("log_error", "log_file"),
)
TEXTS = (
    *("", "nope", "INPUT0", "INPUT1", "OUTPUT0", "identity_fp32", "digits", "multi_all", "1", "2", "3", "-1", "0"),
    *("01", "1.0", "99999999999999999999", "FP32", "INT32", "BYTES", "FP16", "BF16", "TYPE_INT32", "fp32", "X"),
    *("é\U0001f600", "a\0b", "x" * 300, "/nobody", "OFF", "TIMESTAMPS", "TENSORS", "true", "default", "ISO8601"),
    *('{"max_batch_size": 2}', "{", "not a, [list] 'or so'"),
)
WHOLE = (0, 1, 2, 3, 4, 16, 64, 100, -1, -2, -(1 << 31))
"""Not those beyond 32 bits: sizes of that many elements end or block a tritonserver."""
ODD: dict[str, tuple[Any, ...]] = {
    "string": TEXTS,
    "bytes": (
        b"",
        b"\0",
        b"\1\0\0\0",
        b"\0\0\0\0",
        b"\1\0\0\0a",
        bytes(8),
        bytes(64),
        b"\xff" * 4,
        b"\xff\xff\xff\x7f",
    ),
    "bool": (True, False),
    "int": WHOLE,
    "uint": tuple(each for each in WHOLE if each >= 0),
    "float": (0.0, 1.5, -1.0, 3e38, float("nan"), float("inf")),
}
TAILS = (b"\xf8\x07\x01", b"\x0a\x02\xff\xfe", b"\x0a", b"\x0b\x0c", b"\x0c", b"\x08\x01", b"\xfa\x07\x01x", b"\0")
"""Fields that no message has, texts that are none, and what is no field."""

CONTENTS = {"BOOL": "bool", "UINT64": "uint64", "INT64": "int64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes"}
CONTENTS |= {"INT16": "int", "INT32": "int", "UINT8": "uint"}


@dataclass(frozen=True, slots=True)
class Call:
    """`path` is that of the method; streams have any number of messages, others one. `errors_end`: whether an error is
    to end the stream; `packed`: whether the messages are compressed."""

    path: str
    messages: tuple[bytes, ...]
    errors_end: bool = False
    packed: bool = False

    @property
    def method(self) -> str:
        return self.path.rsplit("/", 1)[1]


def call(method: str, **fields: Any) -> Call:
    message = message_class(f"{method}Request")(**fields)
    return Call(f"{SERVICE}/{method}", (message.SerializeToString(),))


LOADED = "identity_fp16"
"""The model that is loaded and unloaded; what another one was asked to do is undone."""
REGION = {"name": "a b", "key": "/nobody", "offset": 0, "byte_size": 8}
TRACE = {"trace_level": {"value": ["OFF"]}, "trace_rate": {"value": ["5"]}, "trace_count": {"value": ["7"]}}
LOG = {
    **{name: {"bool_param": True} for name in ("log_info", "log_warning", "log_error")},
    "log_verbose_level": {"uint32_param": 0},
    "log_format": {"string_param": "default"},
}
CONFIG = {"config": {"string_param": '{"backend": "onnxruntime", "max_batch_size": 2}'}}

METHODS: Sequence[tuple[str, dict[str, Any], Sequence[Call]]] = (
    ("ServerLive", {}, ()),
    ("ServerReady", {}, ()),
    ("ServerMetadata", {}, ()),
    *(
        (method, {"name": name, "version": version}, ())
        for method in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics")
        for name, version in (("digits", "1"), ("multi_all", "2"), ("mixed", ""))
    ),
    ("RepositoryIndex", {"ready": True}, ()),
    ("RepositoryModelLoad", {"model_name": LOADED, "parameters": CONFIG}, (call("ModelConfig", name=LOADED),)),
    ("RepositoryModelUnload", {"model_name": LOADED, "parameters": {"unload_dependents": {"bool_param": False}}}, ()),
    ("SystemSharedMemoryStatus", {"name": "a b"}, ()),
    ("SystemSharedMemoryRegister", REGION, (call("SystemSharedMemoryStatus"),)),
    ("SystemSharedMemoryUnregister", {"name": "a b"}, ()),
    ("CudaSharedMemoryStatus", {"name": "a b"}, ()),
    ("CudaSharedMemoryRegister", {"name": "a", "raw_handle": b"x", "byte_size": 8}, (call("CudaSharedMemoryStatus"),)),
    ("CudaSharedMemoryUnregister", {"name": "a b"}, ()),
    ("TraceSetting", {"settings": TRACE}, (call("TraceSetting"), call("TraceSetting", settings=TRACE))),
    ("LogSettings", {"settings": LOG}, (call("LogSettings"), call("LogSettings", settings=LOG))),
)
"""Method, a good request, and what shows or undoes its effect."""
ELSEWHERE = (
    *(
        Call(HEALTH, (message,))
        for message in (b"", b"\x0a\0", b"\x0a\x1einference.GRPCInferenceService", b"\x0a\x04nope")
    ),
    Call(f"{SERVICE}/Nope", (b"",)),
    Call("/inference.Nope/ModelInfer", (b"",)),
)


def odd_calls(seed: int) -> Iterator[Sequence[Call]]:
    """Calls without end, the same ones for the same seed; those that belong together at a time."""
    rng = random.Random(seed)
    while True:
        choice = rng.random()
        if choice < 0.55:
            yield [Call(f"{SERVICE}/ModelInfer", (_damaged(_infer(rng), rng),), packed=rng.random() < 0.05)]
        elif choice < 0.75:
            yield [_stream(rng)]
        elif choice < 0.98:
            yield _other(rng)
        else:
            yield [rng.choice(ELSEWHERE)]


def _stream(rng: random.Random) -> Call:
    messages = [_infer(rng) for _ in range(rng.choice((0, 1, 2, 3, 5)))]
    sent = [_damaged(each, rng) if rng.random() < 0.4 else each.SerializeToString() for each in messages]
    return Call(f"{SERVICE}/{STREAM}", tuple(sent), rng.random() < 0.1, rng.random() < 0.05)


def _other(rng: random.Random) -> Sequence[Call]:
    method, fields, after = rng.choice(METHODS)
    request = message_class(f"{method}Request")
    sent = _damaged(request(**fields), rng)
    undone = [call("RepositoryModelLoad", model_name=name) for name in _concerned(request, sent)]
    return [Call(f"{SERVICE}/{method}", (sent,)), *after, *undone]


def _concerned(request: Any, sent: bytes) -> Sequence[str]:
    """The models that a request loads or unloads."""
    if not request.__name__.startswith("RepositoryModel"):
        return ()
    try:
        name = request.FromString(sent).model_name
    except DecodeError:
        return ()
    return (name,) if name in (*INPUTS, "multi_all") else ()


def _infer(rng: random.Random) -> Any:
    """A good ModelInferRequest."""
    model = rng.choice(list(INPUTS))
    rows, count = rng.choice((1, 1, 2, 3)), ELEMENTS.get(model) or rng.choice((1, 2, 3, 64))
    request = message_class("ModelInferRequest")(model_name=model, id=rng.choice(("", "7", "ä")))
    raw = rng.random() < 0.5 or any(datatype == "FP16" for _, datatype in INPUTS[model])
    for name, datatype in INPUTS[model]:
        size = 1 if name == "K" else count
        shape = [size] if model in WITHOUT_BATCHES else [rows, size]
        tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
        values = [value_of(datatype, rng) for _ in range(prod(shape))]
        if raw:
            request.raw_input_contents.append(b"".join(on_the_wire(datatype, value) for value in values))
        else:
            texts = [value.encode() if datatype == "BYTES" else value for value in values]
            getattr(tensor.contents, f"{CONTENTS[datatype]}_contents").extend(texts)
    for name in OUTPUTS.get(model, ("OUTPUT0",)):
        if rng.random() < 0.4:
            request.outputs.add(name=name)
    return request


def _damaged(message: Any, rng: random.Random) -> bytes:
    """With one to three odd fields, or other bytes."""
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        make_odd(message, rng)
    sent: bytes = message.SerializeToString()
    choice = rng.random()
    place = rng.randrange(len(sent)) if sent else 0
    if choice < 0.9:
        return sent
    if choice < 0.93:
        return sent[:place]
    if choice < 0.97:
        return sent + rng.choice(TAILS)
    return sent[:place] + bytes([rng.randrange(256)]) + sent[place + 1 :]


def make_odd(message: Any, rng: random.Random) -> None:
    """Change one field, of the message or of one in it."""
    places = list(_places(message))
    if not places:
        return
    holder, field = rng.choice(places)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _make_odd_map(getattr(holder, field.name), field.message_type.fields_by_name["value"], rng)
    elif field.is_repeated:
        _make_odd_list(getattr(holder, field.name), field, rng)
    elif field.message_type is not None:
        # Unset, or set and empty: not the same, for contents and parameters.
        holder.ClearField(field.name)
        if rng.random() < 0.5:
            getattr(holder, field.name).SetInParent()
    else:
        setattr(holder, field.name, rng.choice(_odd_values(field)))


def _places(message: Any) -> Iterator[tuple[Any, Any]]:
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.message_type is None:
            continue
        held = getattr(message, field.name)
        if field.message_type.GetOptions().map_entry:
            held = held.values() if field.message_type.fields_by_name["value"].message_type else ()
        elif not field.is_repeated:
            held = [held] if message.HasField(field.name) else []
        for each in held:
            yield from _places(each)


def _make_odd_map(held: Any, value: Any, rng: random.Random) -> None:
    key = rng.choice((*held, *KEYS))
    if key in held and rng.random() < 0.2:
        del held[key]
    elif value.message_type is None:
        held[key] = rng.choice(_odd_values(value))
    else:
        make_odd(held[key], rng)


def _make_odd_list(held: Any, field: Any, rng: random.Random) -> None:
    choice = rng.random()
    place = rng.randrange(len(held)) if held else 0
    if held and choice < 0.35:
        del held[place]
    elif held and choice < 0.5:
        held.append(held[place])
    elif field.message_type is not None:
        make_odd(held.add(), rng)
    elif held and choice < 0.85:
        held[place] = rng.choice(_odd_values(field))
    else:
        held.append(rng.choice(_odd_values(field)))


def _odd_values(field: Any) -> Sequence[Any]:
    kinds = {field.CPPTYPE_BOOL: "bool", field.CPPTYPE_FLOAT: "float", field.CPPTYPE_DOUBLE: "float"}
    kinds |= {field.CPPTYPE_UINT32: "uint", field.CPPTYPE_UINT64: "uint", field.CPPTYPE_STRING: "string"}
    kind = "bytes" if field.type == field.TYPE_BYTES else kinds.get(field.cpp_type, "int")
    return ODD[kind]
