import json

from despina.protocol.json import dumps
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.statistics_json import render

NOTHING = {"count": 0, "ns": 0}


def test_a_fresh_version_renders_every_key_in_the_order_of_the_protocol() -> None:
    rendered = render("dyn", 3, ModelStatistics())
    phases = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
    assert json.dumps(rendered) == json.dumps(
        {
            "name": "dyn",
            "version": "3",
            "last_inference": 0,
            "inference_count": 0,
            "execution_count": 0,
            "inference_stats": dict.fromkeys(phases, NOTHING),
            "response_stats": {},
            "batch_stats": [],
            "memory_usage": [],
        }
    )


def test_a_batch_charges_every_request_and_counts_once_in_batch_stats() -> None:
    statistics = ModelStatistics()
    statistics.record_execution(requests=2, rows=5, input_ns=10, infer_ns=100, output_ns=1, wall_ms=1234)
    statistics.record_execution(requests=1, rows=1, input_ns=20, infer_ns=200, output_ns=2, wall_ms=1235)
    statistics.record_success(request_ns=150, queue_ns=30)
    statistics.record_failure(request_ns=9, reason="BACKEND")
    rendered = render("dyn", 1, statistics)
    assert (rendered["last_inference"], rendered["inference_count"], rendered["execution_count"]) == (1235, 6, 2)
    assert rendered["inference_stats"]["compute_infer"] == {"count": 3, "ns": 400}
    assert rendered["inference_stats"]["queue"] == {"count": 1, "ns": 30}
    assert rendered["inference_stats"]["fail"] == {"count": 1, "ns": 9}
    assert [batch["batch_size"] for batch in rendered["batch_stats"]] == [1, 5]
    assert rendered["batch_stats"][1]["compute_infer"] == {"count": 1, "ns": 100}
    assert dumps(rendered).startswith(b'{"name":"dyn","version":"1","last_inference":1235,"inference_count":6,')


def test_cache_hits_and_misses_are_shown() -> None:
    statistics = ModelStatistics()
    statistics.record_cache_hit(7)
    statistics.record_cache_miss(11)
    rendered = render("cached", 1, statistics)["inference_stats"]
    assert rendered["cache_hit"] == {"count": 1, "ns": 7}
    assert rendered["cache_miss"] == {"count": 1, "ns": 11}
