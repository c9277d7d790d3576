import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from despina.telemetry.cpu_usage import CpuUsage
from despina.telemetry.gpu_usage import GpuUsage
from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.metrics import Metrics, MetricsOptions, Sources
from despina.telemetry.nvml import GpuReading
from despina.telemetry.recent_latencies import RecentLatencies, Window
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.system_families import CacheUsage

# As a tritonserver 2.51 prints them, in its order; nv_model_load_duration_secs is younger.
NV_FAMILIES = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
# HELP nv_inference_request_failure Number of failed inference requests, all batch sizes
# TYPE nv_inference_request_failure counter
# HELP nv_inference_count Number of inferences performed (does not include cached requests)
# TYPE nv_inference_count counter
# HELP nv_inference_exec_count Number of model executions performed (does not include cached requests)
# TYPE nv_inference_exec_count counter
# HELP nv_inference_request_duration_us Cumulative inference request duration in microseconds (includes cached requests)
# TYPE nv_inference_request_duration_us counter
# HELP nv_inference_queue_duration_us Cumulative inference queuing duration in microseconds (includes cached requests)
# TYPE nv_inference_queue_duration_us counter
# HELP nv_inference_compute_input_duration_us Cumulative compute input duration in microseconds \
(does not include cached requests)
# TYPE nv_inference_compute_input_duration_us counter
# HELP nv_inference_compute_infer_duration_us Cumulative compute inference duration in microseconds \
(does not include cached requests)
# TYPE nv_inference_compute_infer_duration_us counter
# HELP nv_inference_compute_output_duration_us Cumulative inference compute output duration in microseconds \
(does not include cached requests)
# TYPE nv_inference_compute_output_duration_us counter
# HELP nv_cache_num_hits_per_model Number of cache hits per model
# TYPE nv_cache_num_hits_per_model counter
# HELP nv_cache_hit_duration_per_model Total cache hit duration per model, in microseconds
# TYPE nv_cache_hit_duration_per_model counter
# HELP nv_cache_num_misses_per_model Number of cache misses per model
# TYPE nv_cache_num_misses_per_model counter
# HELP nv_cache_miss_duration_per_model Total cache miss (insert+lookup) duration per model, in microseconds
# TYPE nv_cache_miss_duration_per_model counter
# HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution per-model.
# TYPE nv_inference_pending_request_count gauge
# HELP nv_model_load_duration_secs Model load time in seconds
# TYPE nv_model_load_duration_secs gauge
# HELP nv_cache_util Cache utilization [0.0 - 1.0]
# TYPE nv_cache_util gauge
# HELP nv_cache_num_entries Number of responses stored in response cache
# TYPE nv_cache_num_entries gauge
# HELP nv_cache_num_hits Number of cache hits in response cache
# TYPE nv_cache_num_hits gauge
# HELP nv_cache_num_misses Number of cache misses in response cache
# TYPE nv_cache_num_misses gauge
# HELP nv_cache_num_lookups Number of cache lookups in response cache
# TYPE nv_cache_num_lookups gauge
# HELP nv_cache_num_evictions Number of cache evictions in response cache
# TYPE nv_cache_num_evictions gauge
# HELP nv_cache_lookup_duration Total cache lookup duration (hit and miss), in microseconds
# TYPE nv_cache_lookup_duration gauge
# HELP nv_cache_insertion_duration Total cache insertion duration, in microseconds
# TYPE nv_cache_insertion_duration gauge
# HELP nv_pinned_memory_pool_total_bytes Pinned memory pool total memory size, in bytes
# TYPE nv_pinned_memory_pool_total_bytes gauge
# HELP nv_pinned_memory_pool_used_bytes Pinned memory pool used memory size, in bytes
# TYPE nv_pinned_memory_pool_used_bytes gauge
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
# HELP nv_gpu_memory_total_bytes GPU total memory, in bytes
# TYPE nv_gpu_memory_total_bytes gauge
# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
# TYPE nv_gpu_memory_used_bytes gauge
# HELP nv_gpu_power_usage GPU power usage in watts
# TYPE nv_gpu_power_usage gauge
# HELP nv_gpu_power_limit GPU power management limit in watts
# TYPE nv_gpu_power_limit gauge
# HELP nv_energy_consumption GPU energy consumption in joules since the Triton Server started
# TYPE nv_energy_consumption counter
# HELP nv_cpu_utilization CPU utilization rate [0.0 - 1.0]
# TYPE nv_cpu_utilization gauge
# HELP nv_cpu_memory_total_bytes CPU total memory (RAM), in bytes
# TYPE nv_cpu_memory_total_bytes gauge
# HELP nv_cpu_memory_used_bytes CPU used memory (RAM), in bytes
# TYPE nv_cpu_memory_used_bytes gauge
# HELP nv_inference_queue_summary_us Summary of inference queuing duration in microseconds (includes cached requests)
# TYPE nv_inference_queue_summary_us summary
# HELP nv_inference_compute_input_summary_us Cumulative compute input duration in microseconds \
(does not include cached requests)
# TYPE nv_inference_compute_input_summary_us summary
# HELP nv_inference_compute_infer_summary_us Cumulative compute inference duration in microseconds \
(does not include cached requests)
# TYPE nv_inference_compute_infer_summary_us summary
# HELP nv_inference_compute_output_summary_us Cumulative inference compute output duration in microseconds \
(does not include cached requests)
# TYPE nv_inference_compute_output_summary_us summary
# HELP nv_cache_hit_summary_per_model Summary of cache hit duration per model, in microseconds
# TYPE nv_cache_hit_summary_per_model summary
# HELP nv_cache_miss_summary_per_model Summary of cache miss (insert+lookup) duration per model, in microseconds
# TYPE nv_cache_miss_summary_per_model summary
"""


class OneGpu:
    def uuids(self) -> list[str]:
        return ["GPU-1"]

    def read(self, index: int) -> GpuReading:
        return GpuReading(50, 1000, 250, 55_137, 300_000, 2_000)


def proc(folder: Path) -> Path:
    (folder / "stat").write_text("cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    (folder / "meminfo").write_text("MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:  40 kB\n")
    return folder


def metrics_of(*models: MeasuredModel, options: MetricsOptions | None = None) -> Metrics:
    metrics = Metrics(Sources(models=lambda: models), options or MetricsOptions())
    for model in models:
        metrics.loaded(model)
    return metrics


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def text_of(metrics: Metrics, models: Sequence[MeasuredModel] | None = None) -> str:
    return metrics.text(tuple(metrics.sources.models()) if models is None else models)


def test_every_family_of_tritonserver_is_printed_by_name_help_type_and_in_order(tmp_path: Path) -> None:
    model = MeasuredModel("m", 1, ModelStatistics(recent=RecentLatencies()), cached=True)
    sources = Sources(
        models=lambda: [model],
        cache=CacheUsage,
        cpu=CpuUsage(0, proc(tmp_path)),
        gpus=GpuUsage(OneGpu(), 0),
    )
    metrics = Metrics(sources, MetricsOptions(summary_latencies=True))
    metrics.loaded(model)
    text = text_of(metrics)
    assert lines(text, "# ")[: NV_FAMILIES.count("\n")] == NV_FAMILIES.splitlines()
    assert all(" despina_" in line for line in lines(text, "# ")[NV_FAMILIES.count("\n") :])


def test_an_uncached_model_has_a_request_summary_and_no_cache_families() -> None:
    model = MeasuredModel("m", 1, ModelStatistics(recent=RecentLatencies()))
    text = text_of(metrics_of(model, options=MetricsOptions(summary_latencies=True)))
    assert "# TYPE nv_inference_request_summary_us summary\n" in text
    assert "nv_cache" not in text
    assert "nv_gpu" not in text


def test_counters_of_a_model_are_read_when_scraped() -> None:
    statistics = ModelStatistics()
    metrics = metrics_of(MeasuredModel("dyn", 1, statistics, load_seconds=0.25))
    statistics.record_execution(requests=2, rows=5, input_ns=1_000, infer_ns=2_999, output_ns=500, wall_ms=1)
    statistics.record_success(request_ns=10_000, queue_ns=1_000)
    statistics.record_success(request_ns=5_999, queue_ns=1_000)
    statistics.pending = 4
    text = text_of(metrics)
    for line in (
        'nv_inference_request_success{model="dyn",version="1"} 2',
        'nv_inference_count{model="dyn",version="1"} 5',
        'nv_inference_exec_count{model="dyn",version="1"} 1',
        'nv_inference_request_duration_us{model="dyn",version="1"} 15',
        'nv_inference_queue_duration_us{model="dyn",version="1"} 2',
        'nv_inference_compute_input_duration_us{model="dyn",version="1"} 2',
        'nv_inference_compute_infer_duration_us{model="dyn",version="1"} 5',
        'nv_inference_compute_output_duration_us{model="dyn",version="1"} 1',
        'nv_inference_pending_request_count{model="dyn",version="1"} 4',
        'nv_model_load_duration_secs{model="dyn",version="1"} 0.25',
    ):
        assert line in text.splitlines()


def test_failures_have_one_series_per_reason_from_the_start() -> None:
    statistics = ModelStatistics()
    statistics.record_failure(5, "REJECTED")
    assert lines(text_of(metrics_of(MeasuredModel("m", 1, statistics))), "nv_inference_request_failure{") == [
        'nv_inference_request_failure{model="m",reason="REJECTED",version="1"} 1',
        'nv_inference_request_failure{model="m",reason="CANCELED",version="1"} 0',
        'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 0',
        'nv_inference_request_failure{model="m",reason="OTHER",version="1"} 0',
    ]


def test_after_unloading_only_failures_stay_and_loading_again_continues_them() -> None:
    live: list[MeasuredModel] = [MeasuredModel("m", 1, ModelStatistics())]
    metrics = Metrics(Sources(models=lambda: live))
    metrics.loaded(live[0])
    live[0].statistics.record_failure(5, "BACKEND")
    live.clear()
    text = text_of(metrics)
    assert {line.split("{")[0] for line in text.splitlines() if "{" in line} == {"nv_inference_request_failure"}
    assert 'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 1\n' in text
    live.append(MeasuredModel("m", 1, ModelStatistics()))
    metrics.loaded(live[0])
    live[0].statistics.record_failure(5, "BACKEND")
    text = text_of(metrics)
    assert 'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 2\n' in text
    assert text_of(metrics) == text
    live[0] = MeasuredModel("m", 1, ModelStatistics())
    metrics.loaded(live[0])
    assert 'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 2\n' in text_of(metrics)


def test_the_series_of_a_version_go_on_when_it_is_loaded_anew_while_it_serves() -> None:
    live: list[MeasuredModel] = []
    metrics = Metrics(Sources(models=lambda: live), MetricsOptions(summary_latencies=True))

    def load() -> ModelStatistics:
        new = MeasuredModel("m", 1, metrics.statistics())
        metrics.loaded(new, live[0] if live else None)
        live[:] = [new]
        return new.statistics

    for rows in (1, 1, 2):
        statistics = load()
        statistics.record_success(2_000_000, 1_000_000)
        statistics.record_execution(1, rows, 0, 1_000_000, 0, 0)
        statistics.pending += 1
    # Answered by the version before while the last one serves already.
    statistics.before[-1].record_success(2_000_000, 1_000_000)
    statistics.before[-1].pending -= 1
    text = text_of(metrics)
    for line in (
        'nv_inference_request_success{model="m",version="1"} 4',
        'nv_inference_count{model="m",version="1"} 4',
        'nv_inference_queue_duration_us{model="m",version="1"} 4000',
        'nv_inference_compute_infer_duration_us{model="m",version="1"} 3000',
        'nv_inference_pending_request_count{model="m",version="1"} 2',
        'nv_inference_request_summary_us_count{model="m",version="1"} 4',
        'nv_inference_request_summary_us{model="m",version="1",quantile="0.5"} 2000',
        'despina_request_seconds_count{model="m",version="1"} 4',
        'despina_batch_size_bucket{model="m",version="1",le="1"} 2',
        'despina_batch_size_sum{model="m",version="1"} 4',
    ):
        assert line in text.splitlines(), line
    assert statistics.success.count == 1


def test_versions_that_still_answer_count_however_often_theirs_was_loaded_anew_since() -> None:
    models = [MeasuredModel("m", 1, ModelStatistics()) for _ in range(4)]
    metrics = Metrics(Sources(models=tuple))
    metrics.loaded(models[0])
    first = models[0].statistics
    first.pending = 2
    for old, new in pairwise(models):
        metrics.loaded(new, old)
    first.pending = 0
    first.record_success(1000, 0)
    first.record_failure(1000, "BACKEND")
    text = metrics.text(models[-1:])
    for line in (
        'nv_inference_request_success{model="m",version="1"} 1',
        'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 1',
        'nv_inference_pending_request_count{model="m",version="1"} 0',
    ):
        assert line in text.splitlines(), line


def test_statistics_of_freed_versions_are_kept_together() -> None:
    statistics = ModelStatistics()
    for _ in range(5):
        statistics.record_success(1000, 0)
        old, statistics = statistics, ModelStatistics()
        statistics.take_over(old)
        old.is_final = True
    assert statistics.with_before().success.count == 5
    others, last = statistics.before
    assert (others.before, last.before) == ((), (others,))


def test_failures_go_on_behind_a_version_that_never_served() -> None:
    old, never, new = (MeasuredModel("m", 1, ModelStatistics()) for _ in range(3))
    metrics = Metrics(Sources(models=tuple))
    metrics.loaded(old)
    metrics.loaded(never, old)
    old.statistics.record_failure(1000, "BACKEND")
    failed = 'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 1\n'
    assert failed in metrics.text([old])
    metrics.loaded(new, old)
    assert failed in metrics.text([new])


def test_a_version_with_other_labels_begins_anew() -> None:
    live = [MeasuredModel("m", 1, ModelStatistics(), {"tag": "old"})]
    metrics = Metrics(Sources(models=lambda: live))
    live[0].statistics.record_success(1, 0)
    live.append(MeasuredModel("m", 1, ModelStatistics(), {"tag": "new"}))
    metrics.loaded(live[1], live.pop(0))
    assert 'nv_inference_request_success{_tag="new",model="m",version="1"} 0\n' in text_of(metrics)


def test_a_scrape_that_began_before_a_version_was_replaced_does_not_count_its_failures_twice() -> None:
    old, new = (MeasuredModel("m", 1, ModelStatistics()) for _ in range(2))
    metrics = Metrics(Sources(models=tuple))
    metrics.loaded(old)
    old.statistics.record_failure(5, "BACKEND")
    metrics.loaded(new, old)
    for listed in (old, new):
        text = metrics.text([listed])
        assert 'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 1\n' in text


def test_without_counter_latencies_the_durations_are_missing_and_counts_go_on() -> None:
    statistics = ModelStatistics()
    statistics.record_success(1000, 0)
    text = text_of(
        metrics_of(MeasuredModel("m", 1, statistics, cached=True), options=MetricsOptions(counter_latencies=False))
    )
    assert "duration_us" not in text
    assert "nv_cache" not in text
    assert 'nv_inference_request_success{model="m",version="1"} 1\n' in text


def test_summaries_print_count_and_sum_before_the_quantiles() -> None:
    window = Window(clock=lambda: 0)
    statistics = ModelStatistics(recent=RecentLatencies(request=window))
    statistics.record_success(request_ns=464_000, queue_ns=4_000)
    options = MetricsOptions(summary_latencies=True, summary_quantiles=(0.5, 0.99))
    text = text_of(metrics_of(MeasuredModel("ens", 1, statistics), options=options))
    assert lines(text, "nv_inference_request_summary_us") == [
        'nv_inference_request_summary_us_count{model="ens",version="1"} 1',
        'nv_inference_request_summary_us_sum{model="ens",version="1"} 464',
        'nv_inference_request_summary_us{model="ens",version="1",quantile="0.5"} 464',
        'nv_inference_request_summary_us{model="ens",version="1",quantile="0.99"} 464',
    ]
    assert 'nv_inference_compute_infer_summary_us{model="ens",version="1",quantile="0.5"} NaN\n' in text


def test_new_statistics_keep_recent_latencies_only_for_summaries() -> None:
    assert metrics_of().statistics().recent is None
    assert metrics_of(options=MetricsOptions(summary_latencies=True)).statistics().recent is not None


def test_metric_tags_and_the_gpu_become_labels() -> None:
    model = MeasuredModel("m", 2, ModelStatistics(), tags={"team": "vision"}, gpu=0)
    metrics = Metrics(Sources(models=lambda: [model], gpus=GpuUsage(OneGpu(), 0)))
    metrics.loaded(model)
    assert lines(text_of(metrics), "nv_inference_count{") == [
        'nv_inference_count{_team="vision",gpu_uuid="GPU-1",model="m",version="2"} 0'
    ]


def test_gpu_values_have_their_units(tmp_path: Path) -> None:
    text = text_of(Metrics(Sources(models=list, gpus=GpuUsage(OneGpu(), 0))))
    assert lines(text, "nv_gpu") + lines(text, "nv_energy") == [
        'nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5',
        'nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 1000',
        'nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 250',
        'nv_gpu_power_usage{gpu_uuid="GPU-1"} 55.137',
        'nv_gpu_power_limit{gpu_uuid="GPU-1"} 300',
        'nv_energy_consumption{gpu_uuid="GPU-1"} 0',
    ]


def test_cache_families_show_hits_misses_and_utilization() -> None:
    usage = CacheUsage(capacity=4096, used=2, entries=2, hits=1, misses=2, lookup_ns=12_999, insertion_ns=22_000)
    text = text_of(Metrics(Sources(models=list, cache=lambda: usage)))
    assert lines(text, "nv_cache") == [
        "nv_cache_util 0.00048828125",
        "nv_cache_num_entries 2",
        "nv_cache_num_hits 1",
        "nv_cache_num_misses 2",
        "nv_cache_num_lookups 3",
        "nv_cache_num_evictions 0",
        "nv_cache_lookup_duration 12",
        "nv_cache_insertion_duration 22",
    ]


def test_pinned_memory_is_printed_without_any_model() -> None:
    metrics = Metrics(Sources(models=list), MetricsOptions(pinned_memory_pool_bytes=9))
    assert text_of(metrics).splitlines()[2::3] == [
        "nv_pinned_memory_pool_total_bytes 9",
        "nv_pinned_memory_pool_used_bytes 0",
    ]


def test_latency_and_batch_size_histograms_are_cumulative() -> None:
    statistics = ModelStatistics()
    statistics.record_execution(requests=1, rows=4, input_ns=0, infer_ns=200_000, output_ns=0, wall_ms=1)
    statistics.record_execution(requests=1, rows=5000, input_ns=0, infer_ns=9_000_000_000, output_ns=0, wall_ms=1)
    text = text_of(metrics_of(MeasuredModel("m", 1, statistics)))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    compute = {sample.labels["le"]: sample.value for sample in families["despina_compute_seconds"].samples[2:]}
    assert (compute["0.0001"], compute["0.00025"], compute["5"], compute["+Inf"]) == (0, 1, 1, 2)
    assert families["despina_compute_seconds"].samples[1].value == 9.0002
    sizes = {sample.labels["le"]: sample.value for sample in families["despina_batch_size"].samples[2:]}
    assert (sizes["2"], sizes["4"], sizes["1024"], sizes["+Inf"]) == (0, 1, 1, 2)
    assert [sample.value for sample in families["despina_batch_size"].samples[:2]] == [2, 5004]


def test_queue_depth_and_rejections_are_told() -> None:
    statistics = ModelStatistics(pending=2, rejected_queue_full=3)
    statistics.record_failure(1, "REJECTED")
    text = text_of(metrics_of(MeasuredModel("m", 1, statistics)))
    assert 'despina_queue_requests{model="m",version="1"} 2\n' in text
    assert 'despina_rejected_requests{model="m",reason="queue_full",version="1"} 3\n' in text
    assert 'despina_rejected_requests{model="m",reason="timeout",version="1"} 1\n' in text


def test_cpu_families_need_proc(tmp_path: Path) -> None:
    assert "nv_cpu" not in text_of(Metrics(Sources(models=list, cpu=CpuUsage(0, tmp_path / "none"))))
    assert math.isfinite(CpuUsage(0, proc(tmp_path)).sample().utilization)  # type: ignore[union-attr]


def test_a_model_may_be_loaded_while_the_failures_are_read() -> None:
    metrics = metrics_of()

    class Loading(dict[str, int]):
        """A model is loaded in the middle of it."""

        def __getitem__(self, reason: str) -> int:
            metrics.loaded(MeasuredModel(f"loaded_{reason}", 1, ModelStatistics()))
            return super().__getitem__(reason)

    statistics = ModelStatistics()
    statistics.failures = Loading(statistics.failures)
    metrics.loaded(MeasuredModel("m", 1, statistics))
    assert 'reason="OTHER",version="1"} 0' in text_of(metrics)
