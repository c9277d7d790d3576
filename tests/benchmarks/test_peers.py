import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.peers import flask_gunicorn, litserve, mlserver, mosec
from benchmarks.peers.dialects import json_rows, raw_or_json_rows
from benchmarks.peers.environment import versions
from benchmarks.peers.tritonserver import config_text
from benchmarks.workload import Workload


def a_workload() -> Workload:
    rows = np.array([[1, 2], [3, 4]], np.float32)
    return Workload("m", {"x": rows}, "y", rows * 2, 1e-6)


@pytest.mark.parametrize(("nested", "sent"), [(True, [[3.0, 4.0]]), (False, [3.0, 4.0])])
def test_json_rows_are_sent_nested_or_flat(nested: bool, sent: list[object]) -> None:
    request = json_rows("/score", "data", "result", nested).render(a_workload(), "json", 1)
    head, _end, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /score HTTP/1.1\r\n")
    assert json.loads(body) == {"data": sent}


@pytest.mark.parametrize("body", [b'{"result":[[6,8]]}', b'{"result":[6,8]}'])
def test_json_answers_are_one_row_either_way(body: bytes) -> None:
    workload = a_workload()
    got = json_rows("/score", "data", "result", nested=True).read(workload, "json")({}, body)
    assert workload.is_answer(1, got)


def test_raw_rows_are_bytes_both_ways() -> None:
    workload = a_workload()
    dialect = raw_or_json_rows("/i", "input", "output")
    assert dialect.render(workload, "binary", 0).endswith(b"\r\n\r\n" + workload.inputs["x"][0].tobytes())
    answer = np.array([2, 4], np.float32).tobytes()
    assert workload.is_answer(0, dialect.read(workload, "binary")({}, answer))


def test_tritons_configuration_says_shapes_and_datatypes() -> None:
    text = config_text(a_workload())
    assert 'input [ { name: "x" data_type: TYPE_FP32 dims: [2] } ]' in text
    assert 'output [ { name: "y" data_type: TYPE_FP32 dims: [2] } ]' in text


@pytest.mark.parametrize(
    ("module", "make"),
    [
        (flask_gunicorn, flask_gunicorn.FlaskGunicorn),
        (litserve, litserve.LitServe),
        (mlserver, mlserver.MLServer),
        (mosec, mosec.Mosec),
    ],
)
def test_peers_say_which_onnxruntime_runs_the_model(
    module: Any, make: Callable[[Workload], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "environment", lambda name, requirements: tmp_path)
    monkeypatch.setattr(module, "versions", lambda bin_directory, names: " ".join(f"{name} 1.2" for name in names))
    monkeypatch.setattr(module, "start_peer", lambda *arguments, **named: None)
    monkeypatch.setattr(mlserver, "write_settings", lambda *arguments: None)
    peer = make(a_workload())
    peer.start()
    assert "onnxruntime 1.2" in peer.about


def test_versions_are_those_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho 3.4\n")
    (tmp_path / "python").chmod(0o755)
    assert versions(tmp_path, ("a", "b")) == "a 3.4, b 3.4"
