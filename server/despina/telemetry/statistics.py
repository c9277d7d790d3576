"""Counters of one loaded model version: what the statistics extension reports and the metrics are read from.

All times are nanoseconds of `time.monotonic_ns`. In a dynamic batch every member request is charged the full compute
time of the batch; `batches` counts it once per execution. Nothing here takes a lock: only the event loop's thread
writes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from sys import maxsize
from typing import Any

from despina.telemetry.recent_latencies import RecentLatencies

LATENCY_BUCKETS_NS = tuple(
    int(us * 1000)
    for us in (100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000)
)
"""Upper bounds of the latency histograms; one more bucket holds everything above."""
_ENDS_NS = (*LATENCY_BUCKETS_NS, maxsize)

FAILURE_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")


@dataclass(slots=True)
class Duration:
    """How many, and how long together."""

    count: int = 0
    ns: int = 0

    def add(self, count: int, ns: int) -> None:
        self.count += count
        self.ns += ns


@dataclass(slots=True)
class ComputeTimes:
    """The three parts of executions, which are always counted together."""

    count: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0

    def add(self, count: int, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """The same parts for each of `count`."""
        self.count += count
        self.input_ns += count * input_ns
        self.infer_ns += count * infer_ns
        self.output_ns += count * output_ns

    @property
    def input(self) -> Duration:
        return Duration(self.count, self.input_ns)

    @property
    def infer(self) -> Duration:
        return Duration(self.count, self.infer_ns)

    @property
    def output(self) -> Duration:
        return Duration(self.count, self.output_ns)


@dataclass(slots=True)
class Histogram:
    """Counts per bucket of `LATENCY_BUCKETS_NS` (not cumulative), the last one unbounded."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_NS) + 1))
    total_ns: int = 0

    def observe(self, ns: int, times: int = 1) -> None:
        self.counts[bisect_left(LATENCY_BUCKETS_NS, ns)] += times
        self.total_ns += ns * times

    def observe_all(self, times_ns: Sequence[int]) -> None:
        counts = self.counts
        times = sorted(times_ns)
        bucket, counted = bisect_left(LATENCY_BUCKETS_NS, times[0]), 0
        while counted < len(times):
            end = bisect_right(times, _ENDS_NS[bucket], counted)
            counts[bucket] += end - counted
            bucket, counted = bucket + 1, end
        self.total_ns += sum(times)


@dataclass(slots=True)
class ModelStatistics:
    """Everything that is counted for one loaded model version."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute: ComputeTimes = field(default_factory=ComputeTimes)
    """Of requests."""
    cache_hit: Duration = field(default_factory=Duration)
    cache_miss: Duration = field(default_factory=Duration)
    inference_count: int = 0
    execution_count: int = 0
    last_inference_ms: int = 0
    batches: dict[int, ComputeTimes] = field(default_factory=dict)
    """Of executions, by their rows."""
    failures: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAILURE_REASONS, 0))
    pending: int = 0
    rejected_queue_full: int = 0
    bucket_elements: int = 0
    """Elements of inputs with shape buckets, as they came."""
    padding_elements: int = 0
    """Elements that were added to them."""
    request_latency: Histogram = field(default_factory=Histogram)
    queue_latency: Histogram = field(default_factory=Histogram)
    compute_latency: Histogram = field(default_factory=Histogram)
    recent: RecentLatencies | None = None
    """Kept for the summaries of `--metrics-config=summary_latencies=true`; None costs one comparison."""
    before: tuple[ModelStatistics, ...] = ()
    """Those of the versions that this one took the place of. They may still answer what they had accepted."""
    is_final: bool = False
    """The version is freed: nothing is counted any more."""

    def take_over(self, before: ModelStatistics) -> None:
        """Let the series in the metrics go on from `before` and what that went on from."""
        final: list[ModelStatistics] = []
        counting: list[ModelStatistics] = []
        for each in before.before:
            (final if each.is_final else counting).append(each)
        if final:  # One is kept for all of them: there may be any number.
            before.before = (_total(final), *counting)
        self.before = (*before.before, before)
        self.recent = before.recent

    def with_before(self) -> ModelStatistics:
        """What the series in the metrics tell: these and all that they go on from."""
        return _total([self, *self.before]) if self.before else self

    def record_success(self, request_ns: int, queue_ns: int, count: int = 1) -> None:
        """Requests answered well: from acceptance to answer, and the part of it spent queued, the same for all."""
        self.success.count += count
        self.success.ns += count * request_ns
        self.queue.count += count
        self.queue.ns += count * queue_ns
        self.request_latency.observe(request_ns, count)
        self.queue_latency.observe(queue_ns, count)
        if self.recent is not None:
            self.recent.request.observe(request_ns, count)
            self.recent.queue.observe(queue_ns, count)

    def record_successes(self, request_ns: Sequence[int], queue_ns: Sequence[int]) -> None:
        """Requests answered well, of which these are the times."""
        self.success.add(len(request_ns), sum(request_ns))
        self.queue.add(len(queue_ns), sum(queue_ns))
        self.request_latency.observe_all(request_ns)
        self.queue_latency.observe_all(queue_ns)
        if self.recent is not None:
            for ns in request_ns:
                self.recent.request.observe(ns)
            for ns in queue_ns:
                self.recent.queue.observe(ns)

    def record_failure(self, request_ns: int, reason: str, count: int = 1) -> None:
        """Accepted requests that failed, after the same time; `reason` is one of FAILURE_REASONS."""
        self.fail.add(count, count * request_ns)
        self.failures[reason] += count

    def record_execution(
        self, requests: int, rows: int, input_ns: int, infer_ns: int, output_ns: int, wall_ms: int, executions: int = 1
    ) -> None:
        """One execution of `requests` requests with `rows` rows together (1 for models that do not batch), or so many
        equal `executions`, of `requests` together and `rows` each."""
        self.compute.add(requests, input_ns, infer_ns, output_ns)
        self.inference_count += executions * rows
        self.execution_count += executions
        self.last_inference_ms = wall_ms
        batch = self.batches.get(rows)
        if batch is None:
            batch = self.batches[rows] = ComputeTimes()
        batch.add(executions, input_ns, infer_ns, output_ns)
        self.compute_latency.observe(infer_ns, requests)
        if self.recent is not None:
            self.recent.compute_input.observe(input_ns, requests)
            self.recent.compute_infer.observe(infer_ns, requests)
            self.recent.compute_output.observe(output_ns, requests)

    def record_cache_hit(self, lookup_ns: int) -> None:
        """A request answered from the response cache; it still goes through `record_success`."""
        self.cache_hit.add(1, lookup_ns)
        if self.recent is not None:
            self.recent.cache_hit.observe(lookup_ns)

    def record_cache_miss(self, lookup_and_insertion_ns: int) -> None:
        """A request the response cache did not know; its answer has been inserted since, if it is one to keep."""
        self.cache_miss.add(1, lookup_and_insertion_ns)
        if self.recent is not None:
            self.recent.cache_miss.observe(lookup_and_insertion_ns)


_SUMMED = tuple(
    field.name
    for field in fields(ModelStatistics)
    if field.name not in ("last_inference_ms", "recent", "before", "is_final")
)


def _total(several: Sequence[ModelStatistics]) -> ModelStatistics:
    sums = {name: reduce(_sum, [getattr(each, name) for each in several]) for name in _SUMMED}
    return replace(several[0], before=(), **sums)


def _sum(one: Any, other: Any) -> Any:
    """Of two counts, or of everything that is counted in two lists, dictionaries or dataclasses."""
    if isinstance(one, int):
        return one + other
    if isinstance(one, list):
        return [_sum(*pair) for pair in zip(one, other, strict=True)]
    if isinstance(one, dict):
        added = other.copy()
        for key, count in one.copy().items():
            added[key] = _sum(count, added[key]) if key in added else count
        return added
    return type(one)(*(_sum(getattr(one, each.name), getattr(other, each.name)) for each in fields(one)))
