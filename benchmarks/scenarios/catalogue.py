"""The sorts of requests that are measured."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.measurement import KINDS, Kind
from benchmarks.scenarios.scenario import Ask, Infer, Scenario

FP32 = Infer("fp32")
MANY = 1024
"""So many different ids that nobody remembers all of them."""
PLACES = 16
"""So many requests with tensors in shared memory: up to 16 connections have one each, so that no two write to the same
place at once."""
MANY_HEADERS = {f"X-Header-{each}": "v" * 30 for each in range(20)}
DATATYPES = ("fp32", "fp64", "fp16", "int64", "uint8", "bool", "bytes")


def one(name: str, kind: Kind, asked: Infer | Ask) -> list[Scenario]:
    return [Scenario(name, kind, (asked,))]


def both(name: str, asked: Infer) -> list[Scenario]:
    """With binary tensors and with JSON."""
    return [Scenario(name, kind, (asked,)) for kind in KINDS]


def sizes(name: str, kind: Kind, asked: Infer, widths: Sequence[int]) -> list[Scenario]:
    return [Scenario(f"{name} x {width:,}", kind, (replace(asked, width=width),)) for width in widths]


def in_shared_memory(*widths: int) -> list[Scenario]:
    shared = replace(FP32, count=PLACES, shared=("IN", "OUT"))
    return [
        Scenario(f"FP32 x {width:,}, in shared memory", "json", (replace(shared, width=width),)) for width in widths
    ]


def of_a_proxy(number: int) -> dict[str, str]:
    """What an ingress and a tracer add, different for each request."""
    known = {"X-Real-IP": "10.1.2.3", "X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "https"}
    return {"X-Request-ID": f"{number:032x}", **known, "traceparent": f"00-{number:032x}-{number:016x}-01"}


def sequence(number: int) -> dict[str, object]:
    """A sequence of a single request."""
    return {"parameters": {"sequence_id": number + 1, "sequence_start": True, "sequence_end": True}}


NUMBERS = (
    *sizes("FP32", "json", FP32, (1, 256, 4096, 65536)),
    *sizes("FP32", "binary", FP32, (16, 4096, 65536)),
    *sizes("FP32", "binary", replace(FP32, count=2), (1 << 20,)),
    *one("FP32 x 4,096, answered in JSON", "binary", Infer("fp32", 4096, got="json")),
    *one("FP32 x 4,096, answered in binary", "json", Infer("fp32", 4096, got="binary")),
    *sizes("INT64", "json", Infer("int64"), (1024,)),
    *sizes("UINT8", "json", Infer("uint8"), (1024, 65536)),
    *sizes("BOOL", "json", Infer("bool"), (1024,)),
    *sizes("FP64", "json", Infer("fp64"), (1024,)),
    # Neither server has FP16 in JSON.
    *sizes("FP16", "binary", Infer("fp16"), (1024,)),
    *(each for width in (1, 64, 4096) for kind in KINDS for each in sizes("BYTES", kind, Infer("bytes"), (width,))),
    *both("8 tensors", Infer("eight")),
    *one("32 rows of 256", "binary", Infer("fp32", 256, rows=32)),
)

SHARED = (
    *in_shared_memory(16, 4096, 65536, 1 << 20),
    *one(
        "FP32 x 4,096 in shared memory, answered in binary",
        "json",
        Infer("fp32", 4096, count=PLACES, got="binary", shared=("IN",)),
    ),
)

REQUESTS = (
    *one("no outputs named", "json", Infer("fp32", named=False)),
    *both("classes, 5 of 512", Infer("fp32", 512, classes=5)),
    *one("ids", "json", Infer("fp32", count=MANY, numbered=lambda number: {"id": f"request {number}"})),
    *one("never the same", "json", Infer("fp32", count=4 * MANY, numbered=lambda number: {"x": f"text {number}"})),
    *one("timeout", "json", Infer("fp32", fields={"parameters": {"timeout": 1_000_000}})),
    *one("parameters", "json", Infer("fp32", fields={"parameters": {"a": "b", "c": 3, "d": 1.5}})),
    *one("gzip x 4,096", "binary", Infer("fp32", 4096, gzipped=True)),
    *both("chunked", Infer("fp32", chunked=True)),
    *one("chunked x 4,096", "binary", Infer("fp32", 4096, chunked=True)),
    *one("gzip wanted x 256", "json", Infer("fp32", 256, headers=lambda number: {"Accept-Encoding": "gzip"})),
    *one("20 more headers", "json", Infer("fp32", headers=lambda number: MANY_HEADERS)),
    *one("headers of a proxy", "json", Infer("fp32", count=4 * MANY, headers=of_a_proxy)),
    *one("connection closed", "json", Infer("fp32", headers=lambda number: {"Connection": "close"})),
    Scenario("64 widths", "json", [Infer("fp32", width, count=1) for width in range(3, 67)]),
    Scenario("7 models", "binary", [Infer(name, count=1) for name in DATATYPES]),
)

SCHEDULERS = (
    *one("model without batches", "binary", Infer("unbatched")),
    *one("no dynamic batching", "binary", Infer("rows")),
    *one("delay of 500 us", "binary", Infer("delayed")),
    *one("2 instances", "binary", Infer("two")),
    *both("ensemble of 3 steps", Infer("chain")),
    *sizes("ensemble of 3 steps", "binary", Infer("chain"), (65536,)),
    *sizes("cache hit", "binary", Infer("cached", count=1), (16, 65536)),
    *sizes("cache hit", "json", Infer("cached", count=1), (256,)),
    *one("sequences, direct", "binary", Infer("direct", count=MANY, numbered=sequence)),
    *one("sequences, oldest", "binary", Infer("oldest", count=MANY, numbered=sequence)),
)

ENDPOINTS = (
    *one("server ready", "json", Ask("/v2/health/ready")),
    *one("model ready", "json", Ask("/v2/models/fp32/ready")),
    *one("server metadata", "json", Ask("/v2", compared=False)),
    *one("model metadata", "json", Ask("/v2/models/fp32")),
    *one("configuration", "json", Ask("/v2/models/fp32/config")),
    *one("statistics", "json", Ask("/v2/models/fp32/stats", compared=False)),
    *one("index", "json", Ask("/v2/repository/index", "POST")),
)

SCENARIOS = (*NUMBERS, *SHARED, *REQUESTS, *SCHEDULERS, *ENDPOINTS)


def chosen(only: Sequence[str], kinds: Sequence[Kind]) -> list[Scenario]:
    """Those in whose name one of these words stands, in upper or lower case; all without any words."""
    return [
        each
        for each in SCENARIOS
        if each.kind in kinds and (not only or any(word.lower() in each.name.lower() for word in only))
    ]
