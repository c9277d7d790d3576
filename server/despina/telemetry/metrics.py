"""All metrics, read from the live models when somebody scrapes.

Nothing of this runs while requests are served: the models count for themselves (`despina.telemetry.statistics`), and
`Metrics` turns the counters into families at the moment they are asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from prometheus_client import Metric

from despina.telemetry import model_families, system_families
from despina.telemetry.cpu_usage import CpuUsage
from despina.telemetry.despina_families import despina_families
from despina.telemetry.exposition import generate
from despina.telemetry.failure_totals import FailureTotals
from despina.telemetry.gpu_usage import GpuUsage
from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.recent_latencies import RecentLatencies
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.system_families import CacheUsage

Models = Iterable[MeasuredModel]


@dataclass(frozen=True, slots=True)
class MetricsOptions:
    """`counter_latencies`, `summary_latencies` and `summary_quantiles` of `--metrics-config`; pinned pool in bytes."""

    counter_latencies: bool = True
    summary_latencies: bool = False
    summary_quantiles: tuple[float, ...] = (0.5, 0.9, 0.95, 0.99, 0.999)
    pinned_memory_pool_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the values come from.

    `models` lists at once the versions that are not freed, and looks at each no sooner than it is asked for. `cache`
    tells the state of the response cache, None where there is none. `cpu` and `gpus` are None where
    `--allow-cpu-metrics`, `--allow-gpu-metrics` or the machine say so.
    """

    models: Callable[[], Models]
    cache: Callable[[], CacheUsage] | None = None
    cpu: CpuUsage | None = None
    gpus: GpuUsage | None = None


@dataclass(slots=True, eq=False)
class Metrics:
    """The text of the metrics port.

    With `counter_latencies` off tritonserver also freezes the counters of requests and inferences at 0; they keep
    counting here.
    """

    sources: Sources
    options: MetricsOptions = field(default_factory=MetricsOptions)
    failures: FailureTotals = field(default_factory=FailureTotals)

    def statistics(self) -> ModelStatistics:
        """Fresh statistics for a version about to be loaded, with what the summaries need if they are on."""
        return ModelStatistics(recent=RecentLatencies() if self.options.summary_latencies else None)

    def loaded(self, model: MeasuredModel, replaced: MeasuredModel | None = None) -> None:
        """To be called for every loaded version, so that its failures are known even if nobody scrapes before it is
        unloaded. Where it takes the place of one that is not freed yet, its series go on, as in tritonserver."""
        uuids = self._gpu_uuids()
        goes_on = replaced is not None and replaced.labels(uuids) == model.labels(uuids)
        if replaced is not None and goes_on:
            model.statistics.take_over(replaced.statistics)
        self.failures.add(model, uuids, goes_on=goes_on)

    def text(self, models: Models) -> str:
        """The answer to a scrape. `models` are those of `sources.models()`; may block for milliseconds."""
        return generate(self._families(tuple(models)))

    def _families(self, models: tuple[MeasuredModel, ...]) -> Iterator[Metric]:
        """In tritonserver's order; what it does not have comes last."""
        uuids = self._gpu_uuids()
        labelled = [
            (model.labels(uuids), replace(model, statistics=model.statistics.with_before())) for model in models
        ]
        yield model_families.request_counts(labelled)
        yield model_families.failures(self.failures.series())
        yield from model_families.inference_counts(labelled)
        if self.options.counter_latencies:
            yield from model_families.latency_counters(labelled)
        yield from model_families.gauges(labelled)
        yield from self._system()
        if self.options.summary_latencies:
            yield from model_families.summaries(labelled, self.options.summary_quantiles)
        yield from despina_families(labelled)

    def _system(self) -> Iterator[Metric]:
        sources = self.sources
        if sources.cache is not None:
            yield from system_families.cache(sources.cache())
        yield from system_families.pinned_memory(self.options.pinned_memory_pool_bytes)
        if sources.gpus is not None:
            yield from system_families.gpu(sources.gpus.sample())
        cpu = sources.cpu.sample() if sources.cpu is not None else None
        if cpu is not None:
            yield from system_families.cpu(cpu)

    def _gpu_uuids(self) -> Mapping[int, str]:
        return self.sources.gpus.uuids if self.sources.gpus is not None else {}
