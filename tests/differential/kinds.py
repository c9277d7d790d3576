"""Requests of one kind, several in a row: what a server keeps of the first ones must not change what it answers to the
next, whether these are good ones or have something wrong in their data."""

import gzip
import json
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tests.fuzz.corpus import Good

Tensors = tuple[tuple[str, str], ...]
"""Name and datatype of each input."""

INPUTS: dict[str, Tensors] = {
    **{f"identity_{name}": (("INPUT0", name.upper()),) for name in ("bool", "bytes", "fp16", "fp32", "fp64", "int16")},
    **{f"identity_{name}": (("INPUT0", name.upper()),) for name in ("int64", "uint8", "uint64")},
    "identity_bytes_nb": (("INPUT0", "BYTES"),),
    "identity_int64_nb": (("INPUT0", "INT64"),),
    "add_sub_int32": (("INPUT0", "INT32"), ("INPUT1", "INT32")),
    "mixed": (("X", "FP32"), ("K", "INT64"), ("T", "BYTES"), ("H", "FP16")),
    "text_gen": (("text_input", "BYTES"), ("temperature", "FP32")),
    "optional_in": (("A", "FP32"), ("B", "FP32")),
    "digits": (("image", "FP32"),),
    "reshape_io": (("INPUT0", "FP32"),),
}
WITHOUT_BATCHES = ("identity_bytes_nb", "identity_int64_nb", "mixed", "optional_in")
ELEMENTS = {"add_sub_int32": 16, "text_gen": 1, "optional_in": 3, "digits": 64, "reshape_io": 4}
"""Of a row, where a model does not take any number."""
OUTPUTS = {"add_sub_int32": ("OUTPUT0", "OUTPUT1"), "mixed": ("Z", "A", "M", "C"), "optional_in": ("Y",)}
OUTPUTS |= {"text_gen": ("text_output", "score"), "digits": ("probs",)}

FORMATS = {"INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d"}
NUMBERS: dict[str, tuple[float, ...]] = {
    "INT16": (0, 1, -1, 32767, -32768),
    "INT32": (0, 1, -1, 7, 1 << 20, -(1 << 31), (1 << 31) - 1),
    "INT64": (0, 1, -1, (1 << 53) + 1, (1 << 63) - 1, -(1 << 63)),
    "UINT8": (0, 1, 2, 127, 128, 255),
    "UINT64": (0, 1, (1 << 53) + 1, (1 << 63), (1 << 64) - 1),
    "FP16": (0.0, -0.0, 1.5, 65504.0, 6e-8),
    "FP32": (0.0, -0.0, 1.5, 0.1, 1e-30, 3.4e38, -7.0, 1e-45),
    "FP64": (0.0, -0.0, 1.5, 0.1, 1e300, 5e-324, -7.0, 123456789.123456789),
}
TEXTS = ("", "a", "hello", "ä€", "\U0001f600", 'q"', "\\", "\n\t", "[1]", "]", "},{", '"data":[', "x" * 300, "\x7f")
TEXTS += ("null", "a\0b")
ODD = ("1", '"x"', "true", "null", "[]", "{}", "[[1]]", "1.5", "-1", "300", "1e400", "18446744073709551616", "NaN")
ODD += ("1 2", "01", "-0", "1e2", "tru", '"\\ud800"', '"\\u0000"', '"\\u00e4"', "", ",", "]", "0.1e1")
ODD += ("-9223372036854775809",)
"""What stands in the place of an element that is wrong, or perhaps is not."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What its requests have in common: `count` elements a row, the inputs that are sent as `binary` data, an id that
    is another one for each request where `id_text` has a `%s`, a member or parameter that is `new` each time, and how
    the JSON is written and the body `packed`."""

    model: str
    rows: int
    count: int
    binary: tuple[str, ...]
    nested: bool
    id_text: str | None
    id_last: bool
    compact: bool
    outputs: tuple[dict[str, Any], ...]
    parameters: dict[str, Any]
    new: str
    packed: str
    accept: str


def repeated_kinds(seed: int) -> Iterator[Sequence[Good]]:
    """Requests of one kind at a time, the same ones for the same seed. The first three are good ones: a kind is known
    then."""
    rng = random.Random(seed)
    while True:
        kind = _kind(rng)
        wrong = [False, False, False, *rng.choices((False, True), k=5), False]
        yield [_request(kind, rng, each) for each in wrong]


def _kind(rng: random.Random) -> Kind:
    model = rng.choice(list(INPUTS))
    tensors = INPUTS[model]
    binary = rng.choice(((), tuple(name for name, _ in tensors), tuple(n for n, _ in tensors if rng.random() < 0.5)))
    if rng.random() < 0.9:
        binary += tuple(name for name, datatype in tensors if datatype == "FP16" and name not in binary)
    count = ELEMENTS.get(model) or rng.choice((1, 2, 3, 63, 64, 65))
    rows = 1 if model in WITHOUT_BATCHES else rng.choice((1, 1, 2, 3))
    outputs = [_output(name, rng) for name in OUTPUTS.get(model, ("OUTPUT0",)) if rng.random() < 0.8]
    return Kind(
        model,
        rows,
        count,
        binary,
        nested=rng.random() < 0.2,
        id_text=rng.choice((None, None, "%s", "%s", "fixed", "ä%s", 'q"%s', "")),
        id_last=rng.random() < 0.2,
        compact=rng.random() < 0.6,
        outputs=tuple(outputs if rng.random() < 0.6 else ()),
        parameters=rng.choice(({}, {}, {"binary_data_output": True}, {"binary_data_output": False}, *_PARAMETERS)),
        new=rng.choice(("", "", "", "member", "parameter")),
        packed=rng.choice(("", "", "", "", "gzip", "deflate")),
        accept=rng.choice(("", "", "", "", "gzip", "deflate")),
    )


_PARAMETERS: tuple[dict[str, Any], ...] = (
    *({"priority": 1}, {"timeout": 1000000}, {"sequence_id": 7}, {"sequence_id": "seven"}, {"mine": "x", "other": 1.5}),
    *({"sequence_id": 7, "sequence_start": True, "sequence_end": True}, {"mine": True}, {"mine": [1]}),
)


def _output(name: str, rng: random.Random) -> dict[str, Any]:
    """Classes are not asked for: those of equal values come in no certain order, and those of texts end a
    tritonserver."""
    more = rng.choice(({}, {"binary_data": True}, {"binary_data": True}, {"binary_data": False}))
    return {"name": name, "parameters": more} if more else {"name": name}


def _request(kind: Kind, rng: random.Random, wrong: bool) -> Good:
    """A request with data of its own, that of one input `wrong`."""
    tensors = INPUTS[kind.model]
    broken = rng.choice(tensors)[0] if wrong else None
    entries: list[dict[str, Any]] = []
    texts: dict[str, str] = {}
    tail = b""
    for name, datatype in tensors:
        count = 1 if name == "K" else kind.count
        shape = [count] if kind.model in WITHOUT_BATCHES else [kind.rows, count]
        entry: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
        values = [value_of(datatype, rng) for _ in range(prod(shape))]
        if name in kind.binary:
            data = b"".join(on_the_wire(datatype, value) for value in values)
            if name == broken:
                data = _damaged(data, rng)
            entry["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            spelled_shape = shape if kind.nested else [len(values)]
            texts[f"\0{name}"] = _spelled(values, spelled_shape, kind, name == broken, rng)
            entry["data"] = f"\0{name}"
        entries.append(entry)
    document: dict[str, Any] = {"inputs": entries}
    if kind.outputs:
        document["outputs"] = list(kind.outputs)
    if kind.parameters:
        document["parameters"] = kind.parameters
    if kind.new == "member":
        document["x"] = [rng.choice(TEXTS), rng.random()]
    elif kind.new == "parameter":
        document["parameters"] = {**kind.parameters, "new": f"{rng.choice(TEXTS)}{rng.random()}"}
    if kind.id_text is not None:
        identity = kind.id_text.replace("%s", str(rng.randrange(10 ** rng.randint(1, 6))))
        document = document | {"id": identity} if kind.id_last else {"id": identity} | document
    head = json.dumps(document, separators=(",", ":") if kind.compact else None)
    for mark, text in texts.items():
        head = head.replace(json.dumps(mark), text, 1)
    return _sent(kind, head.encode("utf-8", "surrogatepass"), tail)


def value_of(datatype: str, rng: random.Random) -> Any:
    """Any value of an element."""
    if datatype == "BYTES":
        return rng.choice(TEXTS)
    if datatype == "BOOL":
        return rng.random() < 0.5
    return rng.choice(NUMBERS[datatype])


def on_the_wire(datatype: str, value: Any) -> bytes:
    """An element in a binary tensor."""
    if datatype == "BYTES":
        text = value.encode()
        return struct.pack("<I", len(text)) + text
    if datatype == "BOOL":
        return bytes([value])
    return struct.pack(f"<{FORMATS[datatype]}", value)


def _damaged(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data))
    other = bytes([rng.choice((0, 1, 2, 5, 0x80, 0xFF))])
    return rng.choice((data[:-1], data + other, data[:place] + other + data[place + 1 :], data[place:], b""))


def _spelled(values: list[Any], shape: list[int], kind: Kind, broken: bool, rng: random.Random) -> str:
    separator = "," if kind.compact else ", "
    elements = [json.dumps(value, ensure_ascii=rng.random() < 0.5) for value in values]
    if broken:
        place = rng.randrange(len(elements))
        elements[place : place + rng.choice((1, 1, 1, 0))] = [rng.choice(ODD)] * rng.choice((1, 1, 1, 1, 0, 2))
    if len(shape) == 1:
        return f"[{separator.join(elements)}]"
    rows = [elements[start : start + shape[1]] for start in range(0, len(elements), shape[1])]
    return f"[{separator.join(f'[{separator.join(row)}]' for row in rows)}]"


def _sent(kind: Kind, head: bytes, tail: bytes) -> Good:
    body = head + tail
    packers = {"gzip": lambda data: gzip.compress(data, mtime=0), "deflate": zlib.compress}
    body = packers[kind.packed](body) if kind.packed else body
    headers = [("Content-Length", str(len(body)))]
    if tail or kind.binary:
        headers.append(("Inference-Header-Content-Length", str(len(head))))
    if kind.packed:
        headers.append(("Content-Encoding", kind.packed))
    if kind.accept:
        headers.append(("Accept-Encoding", kind.accept))
    return Good("POST", f"/v2/models/{kind.model}/infer", tuple(headers), body)
