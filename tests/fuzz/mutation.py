"""How good input becomes bad input: on the level of JSON values, and on the level of bytes."""

import json
import random
from collections.abc import Sequence
from typing import Any

Json = Any

ODD_VALUES: Sequence[Json] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30),
    *(0.5, -0.0, 1e308, float("nan"), float("inf"), "", "a", "\0", "é\u2028\U0001f600", "../x", "x" * 300),
    *([], {}, [[]], [0, 9223372036854775807], [2**62, 2**62], [-1], [1] * 70, {"data": [1]}, {"binary_data_size": 4}),
    *({"shared_memory_region": "r", "shared_memory_byte_size": 4}, {"classification": 2}),
)
KEYS = (
    *("id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "binary_data_size", "binary_data"),
    *("binary_data_output", "classification", "shared_memory_region", "shared_memory_offset"),
    *("shared_memory_byte_size", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "triton_x"),
    *("unload_dependents", "config", "key", "byte_size", "offset", "raw_handle", "b64", "device_id", "trace_level"),
    *("trace_rate", "trace_count"),
)
TOKENS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"\0", b"\xff", b"\xef\xbb\xbf", b"NaN"),
    *(b"Inf", b"1e999", b"-", b"[" * 200, b'{"a":' * 300, b"9" * 400, b'"data":', b'"data" :', b'"data":[1],'),
    *(b"[[1,[2]],3]", b"true", b"null", b" ", b"\n", b'"inputs":[],', b'"\\"data":[1],', b"/*", b"'"),
)
_HEAD = b'{"inputs":[{"name":"INPUT0","datatype":"FP32",'
HEAVY = (
    b'{"x":Inf,"y":"' + b'\\"' * 20_000,
    b"[" * 5000 + b'"' + b'\\"' * 20_000,
    b"[" * 40_000 + b"0" + b"]" * 40_000,
    b'{"x":' * 900 + b"1" + b"}" * 900,
    b'[{"x":' * 900 + b"1" + b"}]" * 900,
    b'{"x":NaN,"y":' + b"9" * 40_000 + b"}",
    _HEAD + b'"shape":[' + b"4611686018427387904," * 5000 + b'1],"data":[1]}]}',
    _HEAD + b'"shape":[1,1],"data":' + b"[" * 20_000 + b"1" + b"]" * 20_000 + b"}]}",
    _HEAD + b'"shape":[1,1],"data":[' + b"[]," * 20_000 + b"1]}]}",
    _HEAD + b'"shape":[1,1],"data":[' + b"1," * 20_000 + b"1]}]}",
)
"""Small for what they ask: each would keep a careless parser busy for seconds, or deeper than its stack."""


def mutate_json(value: Json, rng: random.Random, strength: int) -> Json:
    """`value` with `strength` changes somewhere in it."""
    for _ in range(strength):
        value = _changed(value, rng)
    return value


def _changed(value: Json, rng: random.Random) -> Json:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        return _changed_object(dict(value), rng)
    if isinstance(value, list) and value and rng.random() < 0.85:
        return _changed_list(list(value), rng)
    return rng.choice(ODD_VALUES)


def _changed_object(value: dict[str, Json], rng: random.Random) -> Json:
    key = rng.choice(list(value))
    choice = rng.random()
    if choice < 0.7:
        value[key] = _changed(value[key], rng)
    elif choice < 0.8:
        del value[key]
    elif choice < 0.9:
        value[rng.choice(KEYS)] = value.pop(key)
    else:
        value[rng.choice(KEYS)] = rng.choice(ODD_VALUES)
    return value


def _changed_list(value: list[Json], rng: random.Random) -> Json:
    place = rng.randrange(len(value))
    choice = rng.random()
    if choice < 0.6:
        value[place] = _changed(value[place], rng)
    elif choice < 0.7:
        del value[place]
    elif choice < 0.8:
        value.insert(place, value[rng.randrange(len(value))])
    elif choice < 0.9:
        return [value]
    else:
        value.append(rng.choice(ODD_VALUES))
    return value


def to_bytes(value: Json, rng: random.Random) -> bytes:
    """JSON in one of the ways it may be written."""
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,", " :")])
    text = json.dumps(value, separators=separators, ensure_ascii=rng.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


def mutate_bytes(data: bytes, rng: random.Random, strength: int) -> bytes:
    """`data` with `strength` changes: bits, tokens, cuts, repetitions."""
    for _ in range(strength):
        place, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        choice = rng.randrange(6)
        if choice == 0:
            data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
        elif choice == 1:
            data = data[:place] + rng.choice(TOKENS) + data[place:]
        elif choice == 2:
            data = data[:place] + data[min(end, place + 20) :]
        elif choice == 3:
            data = data[:place]
        elif choice == 4:
            data = data[:end] + data[place:end][:500] + data[end:]
        else:
            data = data[:place] + rng.choice(TOKENS) + data[place + 1 :]
    return data
