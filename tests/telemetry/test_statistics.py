"""Requests that are counted together count as if each had been counted alone."""

import numpy as np

from despina.telemetry.recent_latencies import RecentLatencies
from despina.telemetry.statistics import LATENCY_BUCKETS_NS, Histogram, ModelStatistics


def test_successes_counted_together_are_those_counted_alone() -> None:
    request_ns, queue_ns = [90_000, 300_000, 300_000, 9_000_000_000], [0, 1_000, 120_000, 7_000_000]
    together, alone = (ModelStatistics(recent=RecentLatencies()) for _ in range(2))
    together.record_successes(request_ns, queue_ns)
    for times in zip(request_ns, queue_ns, strict=True):
        alone.record_success(*times)
    assert together.success == alone.success
    assert together.queue == alone.queue
    assert together.request_latency == alone.request_latency
    assert together.queue_latency == alone.queue_latency
    for name in ("request", "queue"):
        windows = [getattr(statistics.recent, name) for statistics in (together, alone)]
        assert np.array_equal(*(window.quantiles([0.1, 0.5, 0.9]) for window in windows))
        assert not np.isnan(windows[0].quantiles([0.5])).any()


def test_times_on_the_edges_of_buckets_are_counted_together_as_alone() -> None:
    together, alone = Histogram(), Histogram()
    times_ns = [bound + step for bound in reversed(LATENCY_BUCKETS_NS) for step in (1, -1, 0)]
    together.observe_all(times_ns)
    for ns in times_ns:
        alone.observe(ns)
    assert together == alone
    assert sum(together.counts) == len(times_ns)


def test_a_group_counts_as_often_as_it_has_requests() -> None:
    together, alone = ModelStatistics(), ModelStatistics()
    together.record_success(3_000, 1_000, 3)
    together.record_failure(5_000, "BACKEND", 2)
    for _ in range(3):
        alone.record_success(3_000, 1_000)
    for _ in range(2):
        alone.record_failure(5_000, "BACKEND")
    assert together == alone


def test_an_execution_counts_for_each_of_its_requests_and_once_for_its_rows() -> None:
    recent = RecentLatencies()
    statistics = ModelStatistics(recent=recent)
    statistics.record_execution(3, 6, 10, 20, 30, 7)
    statistics.record_execution(1, 6, 40, 50, 60, 8)
    assert (statistics.execution_count, statistics.inference_count, statistics.last_inference_ms) == (2, 12, 8)
    assert (statistics.compute.count, statistics.compute.infer_ns) == (4, 3 * 20 + 50)
    assert (statistics.batches[6].count, statistics.batches[6].infer_ns) == (2, 20 + 50)
    assert (sum(statistics.compute_latency.counts), statistics.compute_latency.total_ns) == (4, 3 * 20 + 50)
    windows = (recent.compute_input, recent.compute_infer, recent.compute_output)
    assert [window.quantiles([0.75, 0.9]) for window in windows] == [[10, 40], [20, 50], [30, 60]]


def test_a_group_is_as_many_of_the_recent_requests() -> None:
    recent = RecentLatencies()
    statistics = ModelStatistics(recent=recent)
    statistics.record_success(30, 10, 3)
    statistics.record_success(90, 50)
    assert [window.quantiles([0.75, 0.9]) for window in (recent.request, recent.queue)] == [[30, 90], [10, 50]]
