"""Requests one member of which is odd: every member of a document of each kind, with every one of some values, alone or
beside the right one. Five thousand exchanges, in an order of their own for every seed."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fuzz.corpus import Good

ODD = (
    *("null", "true", "false", "0", "1", "-1", "1.0", "1.5", "1e2", "2147483648", "4294967296", "18446744073709551615"),
    *("18446744073709551616", "9223372036854775808", "-9223372036854775809", "1e400", "NaN", "-Infinity", '""', '"x"'),
    *(
        '"1"',
        '"-1"',
        '"5x"',
        '"a\\u0000b"',
        '"\\u00e9\\ud83d\\ude00"',
        "[]",
        "[1]",
        '["x"]',
        "[null]",
        "{}",
        '{"a": 1}',
    ),
)
"""JSON texts."""

_HERE = "@odd@"
_SHM = "/v2/systemsharedmemory/region/a%20b"
_PLACE = {"shared_memory_region": "a", "shared_memory_offset": 0, "shared_memory_byte_size": 8}
_X = {"name": "INPUT0", "shape": [1, 2], "datatype": "INT32"}
_SETTINGS = {"trace_level": ["OFF"], "trace_rate": "5", "trace_count": "7", "log_frequency": "2"}
_LOG = {"log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0, "log_format": "default"}

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A request with a document, what is asked before it, so that it finds the same every time, and what shows its
    effect."""

    path: str
    document: dict[str, Any]
    before: tuple[Good, ...] = ()
    after: tuple[Good, ...] = ()


def _post(path: str, body: str = "") -> Good:
    sent = body.encode()
    return Good("POST", path, (("Content-Length", str(len(sent))),), sent)


def _get(path: str) -> Good:
    return Good("GET", path, (), b"")


def _configuration(**fields: Any) -> dict[str, Any]:
    return {"parameters": {"config": json.dumps({"backend": "onnxruntime", **fields})}}


KINDS = (
    Kind(
        "/v2/models/identity_int32/infer",
        {
            "id": "7",
            "parameters": {"priority": 1, "timeout": 10**8, "sequence_id": 0, "binary_data_output": False, "own": 1},
            "inputs": [_X | {"data": [1, 2]}],
            "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": False, "classification": 0}}],
        },
    ),
    Kind(
        "/v2/models/identity_int32/infer",
        {"inputs": [_X | {"parameters": _PLACE}], "outputs": [{"name": "OUTPUT0", "parameters": _PLACE}]},
    ),
    Kind("/v2/models/text_gen/generate", {"id": "7", "text_input": "a", "temperature": 0.5, "parameters": {"own": 1}}),
    Kind(
        "/v2/trace/setting",
        _SETTINGS,
        (_post("/v2/trace/setting", json.dumps(_SETTINGS)),),
        (_get("/v2/trace/setting"),),
    ),
    Kind("/v2/logging", _LOG, (_post("/v2/logging", json.dumps(_LOG)),), (_get("/v2/logging"),)),
    Kind("/v2/repository/index", {"ready": True}),
    Kind(f"{_SHM}/register", {"key": "/nobody", "offset": 0, "byte_size": 8}, after=(_get(f"{_SHM}/status"),)),
    Kind(
        "/v2/repository/models/identity_fp32/load",
        _configuration(max_batch_size=2),
        after=(_get("/v2/models/identity_fp32/config"),),
    ),
    Kind(
        "/v2/repository/models/identity_fp16/unload",
        {"parameters": {"unload_dependents": False}},
        (_post("/v2/repository/models/identity_fp16/load"),),
        (_post("/v2/repository/models/identity_fp16/load"),),
    ),
)


def odd_members(seed: int) -> Iterator[Sequence[Good]]:
    """Every one once."""
    found = [(kind, place, odd) for kind in KINDS for place in _places(kind.document) for odd in ODD]
    random.Random(seed).shuffle(found)
    for kind, place, odd in found:
        for text in _texts(kind.document, place, odd):
            yield [*kind.before, _post(kind.path, text), *kind.after]


def _places(document: Any, above: Path = ()) -> Iterator[Path]:
    members = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else ())
    )
    for key, value in members:
        yield (*above, key)
        yield from _places(value, (*above, key))


def _texts(document: Any, place: Path, odd: str) -> Iterator[str]:
    """The document with `odd` in the place, and where that has a key, with this key twice."""
    text = json.dumps(_with(document, place, _HERE))
    here = f'"{_HERE}"'
    yield text.replace(here, odd)
    if isinstance(place[-1], str):
        right = document
        for key in place:
            right = right[key]
        pair = f'{json.dumps(right)}, "{place[-1]}": {odd}'
        yield text.replace(here, pair)
        yield text.replace(here, f'{odd}, "{place[-1]}": {json.dumps(right)}')


def _with(document: Any, place: Path, value: Any) -> Any:
    if not place:
        return value
    changed = document.copy()
    changed[place[0]] = _with(document[place[0]], place[1:], value)
    return changed
