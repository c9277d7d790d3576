"""`ModelStatistics` as the statistics extension shows it."""

from typing import Any

from despina.telemetry.statistics import BatchStatistics, Duration, ModelStatistics

_INFERENCE = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)


def render(name: str, version: int, statistics: ModelStatistics) -> dict[str, Any]:
    """One element of `model_stats`, keys in the protocol's order, durations in nanoseconds (protocol §4.1).

    `response_stats` and `memory_usage` are filled by backends that stream or report memory; none here does.
    """
    return {
        "name": name,
        "version": str(version),
        "last_inference": statistics.last_inference_ms,
        "inference_count": statistics.inference_count,
        "execution_count": statistics.execution_count,
        "inference_stats": {key: _duration(getattr(statistics, key)) for key in _INFERENCE},
        "response_stats": {},
        "batch_stats": [_batch(size, batch) for size, batch in sorted(statistics.batches.items())],
        "memory_usage": [],
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}


def _batch(size: int, batch: BatchStatistics) -> dict[str, Any]:
    return {
        "batch_size": size,
        "compute_input": _duration(batch.compute_input),
        "compute_infer": _duration(batch.compute_infer),
        "compute_output": _duration(batch.compute_output),
    }
