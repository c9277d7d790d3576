"""The metric families of tritonserver that belong to the machine: pinned memory, processors, GPUs, response cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric

from despina.telemetry.cpu_usage import CpuSample
from despina.telemetry.families import Family, Labels, Source, filled
from despina.telemetry.gpu_usage import GpuSample

Measure = tuple[Family, Callable[[Source], float | None]]
"""A family, and how its value is read; None where there is none."""
Measures = tuple[Measure[Source], ...]


def _gauge(name: str, text: str, read: Callable[[Source], float | None]) -> Measure[Source]:
    return Family(name, text, "gauge"), read


PINNED: Measures[int] = (
    _gauge("nv_pinned_memory_pool_total_bytes", "Pinned memory pool total memory size, in bytes", lambda total: total),
    _gauge("nv_pinned_memory_pool_used_bytes", "Pinned memory pool used memory size, in bytes", lambda _: 0),
)

CPU: Measures[CpuSample] = (
    _gauge("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", lambda cpu: cpu.utilization),
    _gauge("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", lambda cpu: cpu.memory_total),
    _gauge("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", lambda cpu: cpu.memory_used),
)


def _scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else value / factor


GPU: Measures[GpuSample] = (
    _gauge(
        "nv_gpu_utilization",
        "GPU utilization rate [0.0 - 1.0)",
        lambda gpu: _scaled(gpu.reading.utilization_percent, 100),
    ),
    _gauge("nv_gpu_memory_total_bytes", "GPU total memory, in bytes", lambda gpu: gpu.reading.memory_total),
    _gauge("nv_gpu_memory_used_bytes", "GPU used memory, in bytes", lambda gpu: gpu.reading.memory_used),
    _gauge("nv_gpu_power_usage", "GPU power usage in watts", lambda gpu: _scaled(gpu.reading.power_mw, 1000)),
    _gauge(
        "nv_gpu_power_limit",
        "GPU power management limit in watts",
        lambda gpu: _scaled(gpu.reading.power_limit_mw, 1000),
    ),
    (
        Family("nv_energy_consumption", "GPU energy consumption in joules since the Triton Server started", "counter"),
        lambda gpu: _scaled(gpu.energy_mj, 1000),
    ),
)


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """The response cache as a whole; `capacity` and `used` in bytes, durations in nanoseconds."""

    capacity: int = 0
    used: int = 0
    entries: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    lookup_ns: int = 0
    insertion_ns: int = 0


CACHE: Measures[CacheUsage] = (
    _gauge("nv_cache_util", "Cache utilization [0.0 - 1.0]", lambda cache: cache.used / (cache.capacity or 1)),
    _gauge("nv_cache_num_entries", "Number of responses stored in response cache", lambda cache: cache.entries),
    _gauge("nv_cache_num_hits", "Number of cache hits in response cache", lambda cache: cache.hits),
    _gauge("nv_cache_num_misses", "Number of cache misses in response cache", lambda cache: cache.misses),
    _gauge(
        "nv_cache_num_lookups",
        "Number of cache lookups in response cache",
        lambda cache: cache.hits + cache.misses,
    ),
    _gauge("nv_cache_num_evictions", "Number of cache evictions in response cache", lambda cache: cache.evictions),
    _gauge(
        "nv_cache_lookup_duration",
        "Total cache lookup duration (hit and miss), in microseconds",
        lambda cache: cache.lookup_ns // 1000,
    ),
    _gauge(
        "nv_cache_insertion_duration",
        "Total cache insertion duration, in microseconds",
        lambda cache: cache.insertion_ns // 1000,
    ),
)


def pinned_memory(total: int) -> Iterator[Metric]:
    """The bytes of a pool that clients of the flag expect. It is never used: staging buffers belong to their models."""
    return _filled(PINNED, [({}, total)])


def cpu(sample: CpuSample) -> Iterator[Metric]:
    return _filled(CPU, [({}, sample)])


def gpu(samples: Sequence[GpuSample]) -> Iterator[Metric]:
    return _filled(GPU, [({"gpu_uuid": sample.uuid}, sample) for sample in samples])


def cache(usage: CacheUsage) -> Iterator[Metric]:
    return _filled(CACHE, [({}, usage)])


def _filled(measures: Measures[Source], sources: Sequence[tuple[Labels, Source]]) -> Iterator[Metric]:
    for family, read in measures:
        yield filled(family, sources, read)
