"""Overload: five times as many requests as the server can do, for a minute. What is answered, how late, and after it?

An identity model that takes 5 ms per batch of 8 stands for the accelerator, so that the capacity is known and the front
end's own cost shows. The queue holds 64 requests.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import loadgen
from benchmarks.despina_server import start_despina
from benchmarks.environment import machine, versions
from benchmarks.latencies import quantile
from benchmarks.places import REPOSITORIES
from benchmarks.processes import resident_mib
from benchmarks.requests import http_request, infer_body, write_requests
from benchmarks.verify import WrongAnswer, exchange

QUEUE = 64
BATCH = 8
BATCH_MS = 5
FLAGS = ("--allow-metrics=false", "--log-warning=false")
CONFIG = f"""backend: "identity"
max_batch_size: {BATCH}
input [{{ name: "INPUT0" data_type: TYPE_FP32 dims: [16] }}]
output [{{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [16] }}]
parameters {{ key: "shape" value {{ string_value: "-1,16" }} }}
parameters {{ key: "execute_delay_us" value {{ string_value: "{BATCH_MS * 1000}" }} }}
instance_group [{{ kind: KIND_CPU count: 1 }}]
dynamic_batching {{ default_queue_policy {{ max_queue_size: {QUEUE} }} }}
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """One load: requests per second offered, answered with 200, refused with 503; p99 of the answers in milliseconds;
    resident memory of the server afterwards in MiB."""

    name: str
    offered: float
    answered: float
    refused: float
    p99_ms: float
    memory_mib: float


def measure(seconds: float, factor: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Peak, then `factor` times the peak for `seconds`, then a single request, then 0.9 of the peak."""
    repository = REPOSITORIES / "overload"
    shutil.rmtree(repository, ignore_errors=True)
    (repository / "slow" / "1").mkdir(parents=True)
    (repository / "slow" / "config.pbtxt").write_text(CONFIG)
    server = start_despina("overload", repository, FLAGS)
    try:
        requests = write_requests([_request()])

        def phase(name: str, connections: int, span: float, rate: float) -> Phase:
            told = loadgen.tell(server.port, connections, span, requests, rate)
            taken = _phase(name, told, resident_mib(server.pid))
            say(f"{name}: {taken.answered:.0f}/s answered, {taken.refused:.0f}/s refused, p99 {taken.p99_ms:.1f} ms")
            return taken

        phases = [phase("closed loop", 32, 5, 0)]
        peak = phases[0].answered
        phases.append(phase("before, 0.9 of the peak", 256, 5, 0.9 * peak))
        phases.append(phase(f"{factor:g} times the peak", 512, seconds, factor * peak))
        recovery_ms = _recovery_ms(server.port)
        say(f"the first request after it: {recovery_ms:.1f} ms")
        phases.append(phase("after, 0.9 of the peak", 256, 5, 0.9 * peak))
        return {
            "phases": [asdict(each) for each in phases],
            "goodput_under_overload": phases[2].answered / peak,
            "recovery_ms": recovery_ms,
            "queue": QUEUE,
            "longest_wait_ms": (QUEUE / BATCH + 2) * BATCH_MS,
            "options": {"seconds of overload": seconds, "flags": " ".join(FLAGS)},
            "machine": machine(),
            "versions": versions(),
        }
    finally:
        server.stop()


def _request() -> bytes:
    rows = {"INPUT0": np.arange(16, dtype=np.float32).reshape(1, 16)}
    head, headers, tail = infer_body(rows, "binary", {"parameters": {"binary_data_output": True}})
    return http_request("/v2/models/slow/infer", headers, head + tail)


def _phase(name: str, told: dict[str, Any], memory_mib: float) -> Phase:
    histogram = dict(told["histogram"])
    span = told["seconds"]
    answered = sum(histogram.values())
    sent = told["answered"] + told["unanswered"]
    p99_ms = quantile(histogram, 0.99) / 1000
    return Phase(name, sent / span, answered / span, told["errors"] / span, p99_ms, memory_mib)


def _recovery_ms(port: int) -> float:
    begun = time.monotonic()
    status, _, body = exchange(port, _request())
    if status != 200:
        raise WrongAnswer(f"the first request after it was answered {status}: {body[:300]!r}")
    return (time.monotonic() - begun) * 1000


def page(taken: dict[str, Any]) -> str:
    """The table, as Markdown."""
    lines = [
        "# Overload",
        "",
        f"A batch of up to {BATCH} takes {BATCH_MS} ms, the queue holds {taken['queue']} requests: nobody who was "
        f"accepted should wait longer than about {taken['longest_wait_ms']:.0f} ms.",
        "",
        "| load | offered/s | answered/s | refused/s | p99 of answers ms | memory MiB |",
        "|---|---|---|---|---|---|",
    ]
    for each in taken["phases"]:
        lines.append(
            f"| {each['name']} | {each['offered']:.0f} | {each['answered']:.0f} | {each['refused']:.0f} | "
            f"{each['p99_ms']:.1f} | {each['memory_mib']:.0f} |"
        )
    lines += [
        "",
        f"Goodput under overload: {taken['goodput_under_overload']:.2f} of the peak. The first request after it took "
        f"{taken['recovery_ms']:.1f} ms.",
        "",
        *[f"- {key}: {value}" for key, value in {**taken["machine"], **taken["versions"], **taken["options"]}.items()],
        "",
    ]
    return "\n".join(lines)
