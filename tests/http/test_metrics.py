import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.support.asking import Answer, ask_app

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.http.metrics import measured, metrics_app, metrics_options, metrics_response, open_metrics
from despina.scheduling.response_cache import ENTRY_BYTES, OUTPUT_BYTES, ResponseCache
from despina.settings import MetricsConfig, Settings
from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.metrics import Metrics, MetricsOptions, Sources
from despina.telemetry.statistics import ModelStatistics


async def ask(method: str, path: str) -> Answer:
    """What the app of a server with one model answers."""
    app = metrics_app(Metrics(Sources(models=lambda: [MeasuredModel("m", 1, ModelStatistics())])))
    return await ask_app(app, method, path)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
async def test_both_paths_answer_the_text(path: str) -> None:
    status, headers, body = await ask("GET", path)
    assert status == 200
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert b'nv_inference_count{model="m",version="1"} 0\n' in body


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/x", "/v2/health/ready"])
async def test_other_paths_are_empty_and_fine(path: str) -> None:
    status, _, body = await ask("GET", path)
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE"])
async def test_only_get_is_allowed(method: str) -> None:
    status, _, body = await ask(method, "/metrics")
    assert (status, body) == (405, b'{"error":"Method Not Allowed"}')


def test_settings_decide_what_is_measured() -> None:
    config = MetricsConfig(counter_latencies=False, summary_latencies=True, summary_quantiles=((0.5, 0.1), (0.9, 0.01)))
    settings = Settings(metrics_config=config, pinned_memory_pool_byte_size=7)
    assert metrics_options(settings) == MetricsOptions(False, True, (0.5, 0.9), 7)
    assert metrics_options(replace(settings, allow_metrics=False)).summary_latencies is False


@pytest.mark.parametrize("enable", [True, False])
def test_a_model_is_measured_with_its_tags_and_cache(enable: bool) -> None:
    config = ModelConfig(metric_tags={"team": "a"}, response_cache={"enable": enable})
    model: Any = SimpleNamespace(name="m", version=2, statistics=ModelStatistics(), config=config, load_seconds=0.5)
    expected = MeasuredModel("m", 2, model.statistics, {"team": "a"}, 0.5, enable)
    assert measured(model) == expected


@pytest.mark.parametrize(
    ("groups", "gpu"),
    [
        ("", None),
        ("{ count: 2 kind: KIND_CPU }", None),
        ("{ count: 2 kind: KIND_GPU gpus: 1 }", 1),
        ("{ count: 1 kind: KIND_GPU gpus: 0 }, { count: 1 kind: KIND_GPU gpus: 0 }", 0),
        ("{ count: 1 kind: KIND_GPU gpus: [ 0, 1 ] }", None),
        ("{ count: 1 kind: KIND_GPU gpus: 0 }, { count: 1 kind: KIND_CPU }", None),
    ],
)
def test_a_model_that_runs_on_one_gpu_is_measured_with_it(groups: str, gpu: int | None) -> None:
    config = parse_text(f"instance_group [ {groups} ]")
    model: Any = SimpleNamespace(name="m", version=2, statistics=ModelStatistics(), config=config, load_seconds=0.5)
    assert measured(model).gpu == gpu


def test_the_models_of_a_server_are_listed_when_scraped() -> None:
    config = ModelConfig()
    loaded: list[Any] = []
    server: Any = SimpleNamespace(
        settings=Settings(allow_gpu_metrics=False, allow_cpu_metrics=False),
        cache=None,
        models=SimpleNamespace(held=lambda: loaded),
    )
    metrics = open_metrics(server)
    assert "nv_inference" not in metrics.text(metrics.sources.models())
    loaded.append(SimpleNamespace(name="m", version=2, statistics=ModelStatistics(), config=config, load_seconds=0.5))
    assert 'nv_model_load_duration_secs{model="m",version="2"} 0.5\n' in metrics.text(metrics.sources.models())
    assert "nv_cpu" not in metrics.text(metrics.sources.models())


async def test_models_are_looked_at_by_another_thread_than_that_of_the_event_loop() -> None:
    looked: list[int] = []

    class Loaded(SimpleNamespace):
        @property
        def config(self) -> ModelConfig:
            looked.append(threading.get_ident())
            return ModelConfig()

    server: Any = SimpleNamespace(
        settings=Settings(allow_gpu_metrics=False, allow_cpu_metrics=False),
        cache=None,
        models=SimpleNamespace(
            held=lambda: [Loaded(name="m", version=1, statistics=ModelStatistics(), load_seconds=0.5)]
        ),
    )
    assert b'model="m"' in (await metrics_response(open_metrics(server))).body
    assert looked
    assert threading.get_ident() not in looked


def test_the_response_cache_of_a_server_is_measured_where_there_is_one() -> None:
    cache = ResponseCache(4000)
    cache.insert((1, b"k"), {"y": np.zeros(1000 - ENTRY_BYTES - OUTPUT_BYTES, np.uint8)})
    cache.hits, cache.misses, cache.lookup_ns, cache.insertion_ns = 2, 3, 4000, 5000
    server: Any = SimpleNamespace(
        settings=Settings(allow_gpu_metrics=False, allow_cpu_metrics=False),
        cache=cache,
        models=SimpleNamespace(held=list),
    )
    text = open_metrics(server).text([])
    wanted = {"util": 0.25, "num_entries": 1, "num_hits": 2, "num_misses": 3, "num_lookups": 5, "num_evictions": 0}
    for name, value in {**wanted, "lookup_duration": 4, "insertion_duration": 5}.items():
        assert f"\nnv_cache_{name} {value}\n" in text
