import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.gpu_box import measure as module
from benchmarks.gpu_box.measure import BATCHING, NAMES, Figure, compare, nearest
from benchmarks.gpu_box.report import markdown
from benchmarks.models import MODELS
from benchmarks.repository import config_text

from despina.config.read import parse_text


def test_both_sides_take_turns() -> None:
    order: list[str] = []

    def side(name: str, speed: float):
        def measure(seconds: float) -> float:
            order.append(name)
            return speed

        return measure

    figures = compare("HTTP", side("served", 90.0), side("raw", 100.0), 3, 0.0, None)
    assert order == ["raw", "served", "served", "raw", "raw", "served"]
    assert [(figure.served, figure.rows_per_second) for figure in figures[:2]] == [(False, 100.0), (True, 90.0)]


def test_the_nearest_answers_set_the_tolerance() -> None:
    assert nearest(np.array([[0, 0], [1, 5], [1, 7]], np.float16)) == 2


def test_the_models_are_there_and_served_from_the_gpu() -> None:
    assert set(NAMES) <= set(MODELS)
    config = parse_text(config_text("bert_fp16", BATCHING))
    assert (config.max_batch_size, config.instance_group[0].kind, config.instance_group[0].count) == (64, 1, 2)
    assert list(config.instance_group[0].gpus) == [0]


def test_the_table_says_what_was_reached_and_what_failed() -> None:
    def figure(way: str, served: bool, speed: float, busy: float | None) -> dict[str, object]:
        gpu = None if busy is None else {"utilisation": busy, "memory_mb": 5000.0}
        return {"way": way, "served": served, "rows_per_second": speed, "gpu": gpu}

    # A machine that gets slower: of the medians, 970 is 0.97 of 1000, of neighbours it is 0.96.
    figures = [figure("HTTP", False, speed, 99) for speed in (1010, 1000, 900)]
    figures += [figure("HTTP", True, speed, 97) for speed in (970, 960, 990)]
    figures += [figure("CUDA shared memory", False, 1000, None), figure("CUDA shared memory", True, 900, None)]
    record = {
        "machine": {"gpu": "x"},
        "versions": {},
        "serving": {},
        "models": {"a": {"figures": figures}, "b": {"figures": figures[:6], "failure": "NotStarted: a|b\nc"}},
    }
    text = markdown(record)
    assert "| a | HTTP | 970 | 1000 | 0.960 | 0.95 kept | 97% | 99% | 5000 |" in text
    assert "| a | CUDA shared memory | 900 | 1000 | 0.900 | 0.98 missed | not told | not told | not told |" in text
    assert "| b | HTTP | 970 | 1000 | 0.960 |" in text
    assert "| b | failed: NotStarted: a/b c |" in text


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def measure_model(name: str, _nvml: object, _cudart: object) -> Iterator[list[Figure]]:
        yield [Figure("HTTP", False, 1000.0, None), Figure("HTTP", True, 960.0, None)]
        written.append((tmp_path / "gpu.md").read_text())
        raise OSError("cudaIpcGetMemHandle returned 801")

    monkeypatch.setattr(module, "measure_model", measure_model)
    monkeypatch.setattr(module.loadgen, "build", lambda: None)
    module.main(tmp_path, ["a"])
    assert "| a | HTTP | 960 | 1000 | 0.960 |" in written[0]
    text = (tmp_path / "gpu.md").read_text()
    assert "| a | HTTP | 960 | 1000 | 0.960 |" in text
    assert "| a | failed: OSError: cudaIpcGetMemHandle returned 801 |" in text
    assert len(json.loads((tmp_path / "gpu.json").read_text())["models"]["a"]["figures"]) == 2
