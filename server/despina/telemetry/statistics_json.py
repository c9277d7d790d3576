"""`ModelStatistics` as the statistics extension shows it."""

from typing import Any

from despina.telemetry.statistics import ComputeTimes, Duration, ModelStatistics


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
        "inference_stats": {
            "success": _duration(statistics.success),
            "fail": _duration(statistics.fail),
            "queue": _duration(statistics.queue),
            **_compute(statistics.compute),
            "cache_hit": _duration(statistics.cache_hit),
            "cache_miss": _duration(statistics.cache_miss),
        },
        "response_stats": {},
        "batch_stats": [{"batch_size": size, **_compute(times)} for size, times in sorted(statistics.batches.items())],
        "memory_usage": [],
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}


def _compute(times: ComputeTimes) -> dict[str, Any]:
    count = times.count
    return {
        "compute_input": {"count": count, "ns": times.input_ns},
        "compute_infer": {"count": count, "ns": times.infer_ns},
        "compute_output": {"count": count, "ns": times.output_ns},
    }
