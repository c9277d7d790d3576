"""What operators ask for and tritonserver has no family for, in base units (seconds), under `despina_` names."""

from collections.abc import Callable, Iterator

from prometheus_client import Metric

from despina.telemetry.families import Family, add_histogram, add_parts, filled
from despina.telemetry.model_families import Labelled
from despina.telemetry.statistics import LATENCY_BUCKETS_NS, Histogram, ModelStatistics

HISTOGRAMS: tuple[tuple[Family, Callable[[ModelStatistics], Histogram]], ...] = (
    (
        Family("despina_request_seconds", "Time from the acceptance of a request to its answer", "histogram"),
        lambda statistics: statistics.request_latency,
    ),
    (
        Family("despina_queue_seconds", "Time a request waited in the scheduling queue", "histogram"),
        lambda statistics: statistics.queue_latency,
    ),
    (
        Family("despina_compute_seconds", "Time the model ran for a request", "histogram"),
        lambda statistics: statistics.compute_latency,
    ),
)
BATCH_SIZE = Family("despina_batch_size", "Rows per model execution", "histogram")
QUEUE_REQUESTS = Family("despina_queue_requests", "Requests waiting for execution", "gauge")
REJECTED = Family(
    "despina_rejected_requests",
    "Requests refused with 503: queue_full at arrival, timeout while they waited",
    "counter",
)

BUCKETS = Family(
    "despina_shape_bucket_elements",
    "Elements of inputs with shape buckets: data as sent by clients, padding added to reach the bucket",
    "counter",
)

BATCH_SIZE_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS = tuple(bound / 1e9 for bound in LATENCY_BUCKETS_NS)


def despina_families(models: Labelled) -> Iterator[Metric]:
    for family, read in HISTOGRAMS:
        yield _latencies(family, models, read)
    yield _batch_sizes(models)
    yield filled(QUEUE_REQUESTS, models, lambda model: model.statistics.pending)
    yield _rejected(models)
    yield _buckets(models)


def _latencies(family: Family, models: Labelled, read: Callable[[ModelStatistics], Histogram]) -> Metric:
    metric = family.metric()
    for labels, model in models:
        histogram = read(model.statistics)
        add_histogram(metric, labels, _SECONDS, tuple(histogram.counts), histogram.total_ns / 1e9)
    return metric


def _batch_sizes(models: Labelled) -> Metric:
    metric = BATCH_SIZE.metric()
    for labels, model in models:
        sizes = [(rows, times.count) for rows, times in tuple(model.statistics.batches.items())]
        counts = [0] * (len(BATCH_SIZE_BOUNDS) + 1)
        for rows, count in sizes:
            counts[sum(rows > bound for bound in BATCH_SIZE_BOUNDS)] += count
        add_histogram(metric, labels, BATCH_SIZE_BOUNDS, counts, sum(rows * count for rows, count in sizes))
    return metric


def _rejected(models: Labelled) -> Metric:
    metric = REJECTED.metric()
    for labels, model in models:
        statistics = model.statistics
        reasons = {"queue_full": statistics.rejected_queue_full, "timeout": statistics.failures["REJECTED"]}
        add_parts(metric, labels, "reason", reasons)
    return metric


def _buckets(models: Labelled) -> Metric:
    """Only for models that ever had something to put into a bucket."""
    metric = BUCKETS.metric()
    for labels, model in models:
        statistics = model.statistics
        if statistics.bucket_elements or statistics.padding_elements:
            kinds = {"data": statistics.bucket_elements, "padding": statistics.padding_elements}
            add_parts(metric, labels, "kind", kinds)
    return metric
