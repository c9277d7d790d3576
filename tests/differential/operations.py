"""Conversations in which the order matters: models loaded, changed on disk and unloaded, memory registered, settings
changed, and what the servers say of it in between."""

import base64
import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from tests.differential.repository import ENSEMBLES, LIFECYCLE, Change, random_change
from tests.fuzz.corpus import Good

STEPS = 60
"""Of one conversation; the next one is with new servers."""
POLL_S = 1
SETTLED_S = 3.5 * POLL_S
"""A change on disk has been seen by both servers: one of them looks twice."""
SHARED_SIZE = 4096

Tensors = tuple[tuple[str, str, int], ...]
"""Name, datatype and elements of a row."""

_TWO: Tensors = (("INPUT0", "FP32", 2),)
INPUTS: dict[str, Tensors] = {
    **dict.fromkeys(("mini", "mini_b", "partly_bad", "chain", "chain_of_chains", "fresh"), _TWO),
    "add_sub_int32": (("INPUT0", "INT32", 16), ("INPUT1", "INT32", 16)),
    "add_sub_fp32_auto": (("INPUT0", "FP32", 16), ("INPUT1", "FP32", 16)),
    "identity_bytes": (("INPUT0", "BYTES", 3),),
    "text_gen": (("text_input", "BYTES", 1), ("temperature", "FP32", 1)),
    "mini_auto": (("INPUT0", "INT32", 3),),
    "versions": (("X", "FP32", 4),),
    "bad_dims": (("INPUT0", "FP32", 3),),
}
OUTPUTS = ("OUTPUT0", "OUTPUT1", "Y", "text_output", "score", "nope")
NAMES = (*INPUTS, "nope")
SIZES = {"FP32": 4, "INT32": 4, "BYTES": 9}
BINARY = {"FP32": b"\0\0\x80\x3f", "INT32": b"\1\0\0\0", "INT64": b"\1" + bytes(7), "BYTES": b"\2\0\0\0ab"}
"""One element of what a request sends, as it is behind the JSON."""

FLAGS: tuple[tuple[str, ...], ...] = (
    *(("--disable-auto-complete-config",), ("--strict-model-config=true",), ("--strict-readiness=false",)),
    *(("--log-verbose=1",), ("--log-info=false", "--log-warning=false"), ("--log-format=ISO8601",), ("--log-error=0",)),
    ("--trace-config=level=TIMESTAMPS", "--trace-config=rate=2", "--trace-config=triton,file={FOLDER}/trace"),
    ("--trace-config=count=5", "--trace-config=triton,log-frequency=3", "--trace-config=triton,file={FOLDER}/trace"),
    ("--cache-config=local,size=1048576",),
    *(("--backend-config=default-max-batch-size=8",), ("--model-load-thread-count=1",), ("--rate-limit=off",)),
    ("--metrics-config=summary_latencies=true",),
)


Step = Good | Change


def random_flags(rng: random.Random) -> list[str]:
    mode = rng.choice(("explicit", "explicit", "explicit", "poll", "none"))
    flags = [f"--model-control-mode={mode}", "--exit-on-error=false"]
    if mode == "explicit":
        flags += rng.choice(
            ([], ["--load-model=*"], ["--load-model=chain_of_chains"], ["--load-model=mini", "--load-model=bad_dims"])
        )
    if mode == "poll":
        flags.append(f"--repository-poll-secs={POLL_S}")
    for more in rng.sample(FLAGS, rng.randint(0, 3)):
        flags += more
    return flags


def operations(rng: random.Random, key: str) -> Iterator[Sequence[Step]]:
    """Steps without end, some of which belong together. `key` and the name of a region name a shared memory object of
    SHARED_SIZE bytes."""
    kinds: dict[Callable[[random.Random], Sequence[Step]], int] = {
        _infer: 22,
        _look: 22,
        _load: 10,
        _load_changed: 10,
        _unload: 6,
        _change: 10,
        partial(_shared_memory, key=key): 12,
        _trace: 6,
        _logging: 3,
        _generate: 4,
        _metrics: 3,
    }
    while True:
        (kind,) = rng.choices(list(kinds), list(kinds.values()))
        yield kind(rng)


def _post(path: str, document: Any = None) -> Good:
    body = b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
    return Good("POST", path, (("Content-Length", str(len(body))),), body)


def _get(path: str) -> Good:
    return Good("GET", path, (), b"")


# Questions


def _look(rng: random.Random) -> Sequence[Step]:
    name = rng.choice(NAMES)
    version = f"/versions/{rng.randint(1, 4)}" if rng.random() < 0.3 else ""
    index = rng.choice((None, {}, {"ready": True}, {"ready": True}, {"ready": False}, [], b"{"))
    return rng.choice(
        (
            *[[_post("/v2/repository/index", index)]] * 4,
            *[[_get(f"/v2/models/{name}{version}{what}")] for what in ("", "/ready", "/config", "/stats", "/stats")],
            *([_get("/v2/health/ready")], [_get("/v2/health/live")], [_get("/v2/models/stats")], [_get("/v2/logging")]),
            *([_get("/v2/trace/setting")], [_get(f"/v2/models/{name}/trace/setting")]),
            *([_get("/v2/systemsharedmemory/status")], [_get("/v2/cudasharedmemory/status")]),
        )
    )


def _metrics(_: random.Random) -> Sequence[Step]:
    return [_get("/metrics")]


# Inference


def _infer(rng: random.Random) -> Sequence[Step]:
    name = rng.choice(NAMES)
    rows = rng.choice((1, 1, 1, 2, 3, 4, 9))
    regions = rng.random() < 0.35
    inputs = [_input(tensor, rows, rng, regions) for tensor in INPUTS.get(name, _TWO)]
    if rng.random() < 0.08:
        del inputs[rng.randrange(len(inputs))]
    document: dict[str, Any] = {"inputs": inputs}
    if rng.random() < 0.3:
        document["id"] = "7"
    if rng.random() < (0.8 if regions else 0.3):
        # Twice the same is an error for one of the two only, and counts in the statistics of the other.
        document["outputs"] = [_output(name, rng, regions) for name in rng.sample(OUTPUTS, rng.randint(1, 2))]
    if rng.random() < 0.2:
        document["parameters"] = {"binary_data_output": True}
    version = f"/versions/{rng.randint(1, 4)}" if rng.random() < 0.2 else ""
    path = f"/v2/models/{name}{version}/infer"
    asked = _binary(path, document, rng) if rng.random() < 0.25 else _post(path, document)
    return [asked] * rng.choice((1, 1, 2))


def _binary(path: str, document: dict[str, Any], rng: random.Random) -> Good:
    """The request with its data behind the JSON, some of whose sizes are wrong."""
    inputs, tail = [], b""
    for tensor in document["inputs"]:
        head = {key: value for key, value in tensor.items() if key != "data"}
        if "data" in tensor and rng.random() < 0.9:
            data = b"".join(BINARY[tensor["datatype"]] for _ in tensor["data"])
            tail += data
            head["parameters"] = {"binary_data_size": len(data) + (rng.random() < 0.04)}
        inputs.append(head if "parameters" in head else tensor)
    head_bytes = json.dumps(document | {"inputs": inputs}).encode()
    body = head_bytes + tail + b"x" * (rng.random() < 0.04)
    lengths = (("Content-Length", str(len(body))), ("Inference-Header-Content-Length", str(len(head_bytes))))
    return Good("POST", path, lengths, body)


def _input(tensor: tuple[str, str, int], rows: int, rng: random.Random, regions: bool) -> dict[str, Any]:
    name, datatype, size = tensor
    wrong = rng.random()
    shape = [rows, size] if wrong > 0.04 else [rows, size + 1]
    datatype = datatype if wrong < 0.96 else "INT64"
    said = {"name": name, "datatype": datatype, "shape": shape}
    count = shape[0] * shape[1]
    if regions and rng.random() < 0.8:
        return said | {"parameters": _window(rng, count * SIZES.get(datatype, 8))}
    value: Any = "ab" if datatype == "BYTES" else 1
    return said | {"data": [value] * count}


def _output(name: str, rng: random.Random, regions: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"name": name}
    if regions and rng.random() < 0.8:
        return said | {"parameters": _window(rng, rng.choice((4, 8, 64, 128, 400)))}
    more = rng.choice(({}, {"binary_data": True}, {"classification": 2}))
    return said | {"parameters": more} if more else said


REGIONS = ("a", "b", "c")


def _window(rng: random.Random, size: int) -> dict[str, Any]:
    window: dict[str, Any] = {"shared_memory_region": rng.choice(REGIONS), "shared_memory_byte_size": size}
    if rng.random() < 0.5:
        window["shared_memory_offset"] = rng.choice((0, 8, 64, 1000, SHARED_SIZE - 8, SHARED_SIZE, 1 << 40))
    return window


def _generate(rng: random.Random) -> Sequence[Step]:
    name = rng.choice(("text_gen", "text_gen", "text_gen", *NAMES))
    document = rng.choice(
        (
            {"text_input": "a", "temperature": 0.5},
            {"text_input": "a"},
            {"text_input": ["a"], "temperature": [1], "id": "3", "more": 1},
            {"INPUT0": [1, 2]},
            {"text_input": 5, "temperature": 1},
        )
    )
    return [_post(f"/v2/models/{name}/{rng.choice(('generate', 'generate_stream'))}", document)]


# Shared memory


def _shared_memory(rng: random.Random, key: str) -> Sequence[Step]:
    family = rng.choice(("system", "system", "system", "system", "cuda"))
    name = rng.choice(REGIONS)
    region = f"/region/{name}" if rng.random() < 0.93 else ""
    path = f"/v2/{family}sharedmemory{region}"
    action = rng.choice(("register", "register", "register", "register", "status", "unregister"))
    if action == "status":
        return [_get(f"{path}/status")]
    if action == "unregister":
        return [_post(f"{path}/unregister")]
    if family == "cuda":
        handle = base64.b64encode(bytes(rng.choice((64, 3)))).decode()
        return [_post(f"{path}/register", {"raw_handle": {"b64": handle}, "device_id": 0, "byte_size": 64})]
    document: dict[str, Any] = {"key": key + name, "byte_size": rng.choice((64, 1024, SHARED_SIZE, SHARED_SIZE))}
    if rng.random() < 0.3:
        document["offset"] = rng.choice((0, 8, 64, 1024, SHARED_SIZE, SHARED_SIZE + 1))
    if rng.random() < 0.15:
        document |= rng.choice(({"key": "/nope"}, {"key": ""}, {"byte_size": 0}, {"byte_size": SHARED_SIZE + 1}))
    return [_post(f"{path}/register", document)]


# Settings


def _trace(rng: random.Random) -> Sequence[Step]:
    path = rng.choice(("/v2", f"/v2/models/{rng.choice(NAMES)}")) + "/trace/setting"
    choices: dict[str, tuple[Any, ...]] = {
        "trace_level": (["TIMESTAMPS"], ["OFF"], ["TENSORS", "TIMESTAMPS"], None, [], "OFF"),
        "trace_rate": ("1", "2", "1000", "0", None, 5),
        "trace_count": ("0", "1", "5", "-1", "-2", None),
        "log_frequency": ("0", "1", "3", None),
        "trace_mode": ("opentelemetry",),
        "foo": ("1",),
    }
    names = rng.choices(list(choices), [6, 4, 4, 2, 1, 1], k=rng.randint(1, 2))
    return [_post(path, {name: rng.choice(choices[name]) for name in names}), _get(path)]


def _logging(rng: random.Random) -> Sequence[Step]:
    choices: dict[str, tuple[Any, ...]] = {
        **dict.fromkeys(("log_info", "log_warning", "log_error"), (True, False, None, 1)),
        "log_verbose_level": (0, 1, 2, -1, "1", None),
        "log_format": ("default", "ISO8601", "x", None),
        "log_file": ("x", None),
    }
    names = rng.choices(list(choices), k=rng.randint(1, 3))
    return [_post("/v2/logging", {name: rng.choice(choices[name]) for name in names}), _get("/v2/logging")]


# Model control


def _load_path(name: str) -> str:
    return f"/v2/repository/models/{name}/load"


def _load(rng: random.Random) -> Sequence[Step]:
    name = rng.choice(NAMES)
    document = rng.choice((None, None, None, {}, {"parameters": {}}, {"parameters": {"nope": "1"}}, b"{", []))
    return [_post(_load_path(name), document), _post("/v2/repository/index")]


def _unload(rng: random.Random) -> Sequence[Step]:
    document = rng.choice((None, {"parameters": {"unload_dependents": rng.choice((True, True, False, 1))}}))
    return [_post(f"/v2/repository/models/{rng.choice(NAMES)}/unload", document), _post("/v2/repository/index")]


def _load_changed(rng: random.Random) -> Sequence[Step]:
    """A configuration, and perhaps files, that come with the request. Not for ensembles: where that of one cannot be
    read, a tritonserver loads its steps all the same."""
    name = rng.choice([name for name in NAMES if name not in ENSEMBLES])
    config = _config(rng)
    parameters: dict[str, Any] = {"config": rng.choice((json.dumps(config), json.dumps(config), "{", 5))}
    if rng.random() < 0.4:
        # With the configuration of before a tritonserver does not look at the files, and for what backend they are it
        # sees from the directory whose name sorts first.
        parameters["config"] = json.dumps(NAMED | config | {"metric_tags": {"now": str(rng.random())}})
        for _ in range(rng.randint(1, 2)):
            parameters[f"file:{rng.choice(('1', '1', '2', '5', 'x'))}/{rng.choice(FILES)}"] = _onnx(rng)
        if rng.random() < 0.15:
            del parameters["config"]
    document = {"parameters": parameters}
    return [_post(_load_path(name), document), _post("/v2/repository/index"), _get(f"/v2/models/{name}/config")]


NAMED = {"backend": "onnxruntime"}
FILES = ("model.onnx", "model.onnx", "model.onnx", "other.onnx", "../../../x")


def _onnx(rng: random.Random) -> str:
    content = (LIFECYCLE / rng.choice(("mini", "mini", "versions")) / "1" / "model.onnx").read_bytes()
    return base64.b64encode(rng.choice((content, content, content, content[:40], b""))).decode()


def _config(rng: random.Random) -> dict[str, Any]:
    fields: dict[str, tuple[Any, ...]] = {
        "backend": ("onnxruntime", "nope"),
        "name": ("mini", "other"),
        "max_batch_size": (0, 1, 2, 16, -1),
        "version_policy": ({"all": {}}, {"latest": {"num_versions": 2}}, {"specific": {"versions": [1, 3]}}),
        "dynamic_batching": ({}, {"preferred_batch_size": [2]}, {"preferred_batch_size": [100]}),
        "response_cache": ({"enable": True},),
        "instance_group": ([{"kind": "KIND_CPU", "count": 2}], [{"kind": "KIND_CPU"}]),
        "metric_tags": ({"team": "a"},),
        "parameters": ({"a": {"string_value": "b"}},),
        "default_model_filename": ("model.onnx", "other.onnx"),
        "input": ([{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [2]}],),
        "sequence_batching": ({},),
    }
    chosen = {name: rng.choice(fields[name]) for name in rng.sample(list(fields), rng.randint(0, 3))}
    return NAMED | chosen if rng.random() < 0.7 else chosen


def _change(rng: random.Random) -> Sequence[Step]:
    """The files of a model change, which a load request may tell."""
    name, change = random_change(rng)
    load = [_post(_load_path(name))] if rng.random() < 0.8 else []
    return [change, *load, _post("/v2/repository/index"), _get(f"/v2/models/{name}/config")]
