"""The metric families of tritonserver that belong to the machine: pinned memory, processors, GPUs, response cache."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric

from despina.telemetry.cpu_usage import CpuSample
from despina.telemetry.families import Family, filled, single
from despina.telemetry.gpu_usage import GpuSample

PINNED_TOTAL = Family("nv_pinned_memory_pool_total_bytes", "Pinned memory pool total memory size, in bytes", "gauge")
PINNED_USED = Family("nv_pinned_memory_pool_used_bytes", "Pinned memory pool used memory size, in bytes", "gauge")

CPU: tuple[tuple[Family, Callable[[CpuSample], float]], ...] = (
    (
        Family("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", "gauge"),
        lambda sample: sample.utilization,
    ),
    (
        Family("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", "gauge"),
        lambda sample: sample.memory_total,
    ),
    (
        Family("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", "gauge"),
        lambda sample: sample.memory_used,
    ),
)


def _scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else value / factor


GPU: tuple[tuple[Family, Callable[[GpuSample], float | None]], ...] = (
    (
        Family("nv_gpu_utilization", "GPU utilization rate [0.0 - 1.0)", "gauge"),
        lambda sample: _scaled(sample.reading.utilization_percent, 100),
    ),
    (
        Family("nv_gpu_memory_total_bytes", "GPU total memory, in bytes", "gauge"),
        lambda sample: sample.reading.memory_total,
    ),
    (
        Family("nv_gpu_memory_used_bytes", "GPU used memory, in bytes", "gauge"),
        lambda sample: sample.reading.memory_used,
    ),
    (
        Family("nv_gpu_power_usage", "GPU power usage in watts", "gauge"),
        lambda sample: _scaled(sample.reading.power_mw, 1000),
    ),
    (
        Family("nv_gpu_power_limit", "GPU power management limit in watts", "gauge"),
        lambda sample: _scaled(sample.reading.power_limit_mw, 1000),
    ),
    (
        Family(
            "nv_energy_consumption",
            "GPU energy consumption in joules since the Triton Server started",
            "counter",
        ),
        lambda sample: _scaled(sample.energy_mj, 1000),
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


CACHE: tuple[tuple[Family, Callable[[CacheUsage], float]], ...] = (
    (
        Family("nv_cache_util", "Cache utilization [0.0 - 1.0]", "gauge"),
        lambda cache: cache.used / cache.capacity if cache.capacity else 0.0,
    ),
    (
        Family("nv_cache_num_entries", "Number of responses stored in response cache", "gauge"),
        lambda cache: cache.entries,
    ),
    (
        Family("nv_cache_num_hits", "Number of cache hits in response cache", "gauge"),
        lambda cache: cache.hits,
    ),
    (
        Family("nv_cache_num_misses", "Number of cache misses in response cache", "gauge"),
        lambda cache: cache.misses,
    ),
    (
        Family("nv_cache_num_lookups", "Number of cache lookups in response cache", "gauge"),
        lambda cache: cache.hits + cache.misses,
    ),
    (
        Family("nv_cache_num_evictions", "Number of cache evictions in response cache", "gauge"),
        lambda cache: cache.evictions,
    ),
    (
        Family("nv_cache_lookup_duration", "Total cache lookup duration (hit and miss), in microseconds", "gauge"),
        lambda cache: cache.lookup_ns // 1000,
    ),
    (
        Family("nv_cache_insertion_duration", "Total cache insertion duration, in microseconds", "gauge"),
        lambda cache: cache.insertion_ns // 1000,
    ),
)


def pinned_memory(total: int) -> Iterator[Metric]:
    """The bytes of a pool that clients of the flag expect. It is never used: staging buffers belong to their models."""
    yield single(PINNED_TOTAL, total)
    yield single(PINNED_USED, 0)


def cpu(sample: CpuSample) -> Iterator[Metric]:
    for family, read in CPU:
        yield single(family, read(sample))


def gpu(samples: Sequence[GpuSample]) -> Iterator[Metric]:
    labelled = [({"gpu_uuid": sample.uuid}, sample) for sample in samples]
    for family, read in GPU:
        yield filled(family, labelled, read)


def cache(usage: CacheUsage) -> Iterator[Metric]:
    for family, read in CACHE:
        yield single(family, read(usage))
