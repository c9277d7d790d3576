"""The metric families of tritonserver that belong to models (protocol §1.16), in its order.

Durations are microseconds. `nv_inference_first_response_histogram_ms` is not among them: only models that stream
several answers have it, and none here does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from prometheus_client import Metric

from despina.telemetry.families import Family, Labels, add_summary, filled
from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.recent_latencies import RecentLatencies, Window
from despina.telemetry.statistics import Duration, ModelStatistics

Labelled = Sequence[tuple[Labels, MeasuredModel]]

SUCCESS = Family("nv_inference_request_success", "Number of successful inference requests, all batch sizes", "counter")
FAILURE = Family("nv_inference_request_failure", "Number of failed inference requests, all batch sizes", "counter")
COUNT = Family("nv_inference_count", "Number of inferences performed (does not include cached requests)", "counter")
EXECUTIONS = Family(
    "nv_inference_exec_count", "Number of model executions performed (does not include cached requests)", "counter"
)
PENDING = Family(
    "nv_inference_pending_request_count",
    "Instantaneous number of pending requests awaiting execution per-model.",
    "gauge",
)
LOAD = Family("nv_model_load_duration_secs", "Model load time in seconds", "gauge")


@dataclass(frozen=True, slots=True)
class Phase:
    """A duration that has a counter and a summary: where to read it, and the names."""

    total: Callable[[ModelStatistics], Duration]
    window: Callable[[RecentLatencies], Window]
    counter: Family
    summary: Family


def _phase(total: str, window: str, stem: str, counter_help: str, summary_help: str) -> Phase:
    return Phase(
        attrgetter(total),
        attrgetter(window),
        Family(f"nv_inference_{stem}_duration_us", counter_help, "counter"),
        Family(f"nv_inference_{stem}_summary_us", summary_help, "summary"),
    )


_REQUEST = "inference request duration in microseconds (includes cached requests)"
_QUEUE = "inference queuing duration in microseconds (includes cached requests)"
_INPUT = "Cumulative compute input duration in microseconds (does not include cached requests)"
_INFER = "Cumulative compute inference duration in microseconds (does not include cached requests)"
_OUTPUT = "Cumulative inference compute output duration in microseconds (does not include cached requests)"

REQUEST = _phase("success", "request", "request", f"Cumulative {_REQUEST}", f"Summary of {_REQUEST}")
PHASES = (
    REQUEST,
    _phase("queue", "queue", "queue", f"Cumulative {_QUEUE}", f"Summary of {_QUEUE}"),
    _phase("compute.input", "compute_input", "compute_input", _INPUT, _INPUT),
    _phase("compute.infer", "compute_infer", "compute_infer", _INFER, _INFER),
    _phase("compute.output", "compute_output", "compute_output", _OUTPUT, _OUTPUT),
)
CACHE_HIT = Phase(
    attrgetter("cache_hit"),
    attrgetter("cache_hit"),
    Family("nv_cache_hit_duration_per_model", "Total cache hit duration per model, in microseconds", "counter"),
    Family("nv_cache_hit_summary_per_model", "Summary of cache hit duration per model, in microseconds", "summary"),
)
CACHE_MISS = Phase(
    attrgetter("cache_miss"),
    attrgetter("cache_miss"),
    Family(
        "nv_cache_miss_duration_per_model",
        "Total cache miss (insert+lookup) duration per model, in microseconds",
        "counter",
    ),
    Family(
        "nv_cache_miss_summary_per_model",
        "Summary of cache miss (insert+lookup) duration per model, in microseconds",
        "summary",
    ),
)
CACHE_HITS = Family("nv_cache_num_hits_per_model", "Number of cache hits per model", "counter")
CACHE_MISSES = Family("nv_cache_num_misses_per_model", "Number of cache misses per model", "counter")


def request_counts(models: Labelled) -> Metric:
    return filled(SUCCESS, models, lambda model: model.statistics.success.count)


def failures(series: Mapping[tuple[tuple[str, str], ...], int]) -> Metric:
    """`series` maps the labels of each series to its count."""
    return filled(FAILURE, ((dict(labels), count) for labels, count in series.items()), float)


def inference_counts(models: Labelled) -> Iterator[Metric]:
    yield filled(COUNT, models, lambda model: model.statistics.inference_count)
    yield filled(EXECUTIONS, models, lambda model: model.statistics.execution_count)


def latency_counters(models: Labelled) -> Iterator[Metric]:
    """The cumulative durations, and the counters of the response cache for models that use it."""
    for phase in PHASES:
        yield _total(phase, models)
    cached = _cached(models)
    yield filled(CACHE_HITS, cached, lambda model: model.statistics.cache_hit.count)
    yield _total(CACHE_HIT, cached)
    yield filled(CACHE_MISSES, cached, lambda model: model.statistics.cache_miss.count)
    yield _total(CACHE_MISS, cached)


def gauges(models: Labelled) -> Iterator[Metric]:
    yield filled(PENDING, models, lambda model: model.statistics.pending)
    yield filled(LOAD, models, lambda model: model.load_seconds)


def summaries(models: Labelled, quantiles: tuple[float, ...]) -> Iterator[Metric]:
    """Models with a response cache have no summary of requests, as in tritonserver: hits and misses are told apart."""
    for phase in PHASES:
        chosen = [pair for pair in models if not pair[1].cached] if phase is REQUEST else models
        yield _summary(phase, chosen, quantiles)
    for phase in (CACHE_HIT, CACHE_MISS):
        yield _summary(phase, _cached(models), quantiles)


def _cached(models: Labelled) -> Labelled:
    return [(labels, model) for labels, model in models if model.cached]


def _total(phase: Phase, models: Labelled) -> Metric:
    return filled(phase.counter, models, lambda model: phase.total(model.statistics).ns // 1000)


def _summary(phase: Phase, models: Labelled, quantiles: tuple[float, ...]) -> Metric:
    metric = phase.summary.metric()
    for labels, model in models:
        recent = model.statistics.recent
        if recent is not None:
            total = phase.total(model.statistics)
            values = [ns // 1000 for ns in phase.window(recent).quantiles(quantiles)]
            add_summary(metric, labels, total.count, total.ns // 1000, dict(zip(quantiles, values, strict=True)))
    return metric
