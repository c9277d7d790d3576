"""What a configuration puts around a model's scheduler: shape buckets, scattered outputs, the response cache."""

from collections.abc import Callable

from despina.config.proto import ModelConfig
from despina.models.batch_layout import BatchLayout
from despina.scheduling.cached_requests import CachedRequests
from despina.scheduling.clock import Clock
from despina.scheduling.ragged import ScatteredOutputs
from despina.scheduling.response_cache import ResponseCache
from despina.scheduling.scheduler import Scheduler
from despina.scheduling.shape_buckets import BucketedRequests
from despina.shared_memory.guarded_map import is_shared
from despina.telemetry.statistics import ModelStatistics


def with_layers(
    scheduler: Scheduler,
    config: ModelConfig,
    layout: BatchLayout,
    clock: Clock,
    statistics: ModelStatistics,
    cache: ResponseCache | None,
    origin: Callable[[], object] | None = None,
) -> Scheduler:
    """`scheduler` itself for nearly all models. The cache is outermost: what it keeps is as clients see it. `origin`
    tells what the answers of an ensemble are made by, which may change under it."""
    if layout.ragged is not None and layout.ragged.scattered:
        scheduler = ScatteredOutputs(scheduler, frozenset(layout.ragged.scattered))
    if layout.buckets:
        scheduler = BucketedRequests(scheduler, layout.buckets, statistics)
    if cache is not None and config.response_cache.enable:
        scheduler = CachedRequests(
            scheduler,
            cache,
            tuple(sorted(output.name for output in config.output)),
            clock,
            statistics,
            is_shared=is_shared,
            ordered=config.dynamic_batching.preserve_ordering,
            origin=origin,
        )
    return scheduler
