"""`/metrics` on the HTTP port: only when asked for."""

import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.support.serving import serving

REPOSITORY = Path(__file__).parents[1] / "conformance" / "repo_main"
FLAGS = ["--model-control-mode=explicit", "--load-model=identity_fp32"]


def test_metrics_are_on_the_http_port_when_asked_for() -> None:
    with (
        serving(REPOSITORY, [*FLAGS, "--metrics-on-http=true"]) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        text = response.read().decode()
        assert response.headers["content-type"].startswith("text/plain")
    assert 'nv_inference_request_success{model="identity_fp32",version="1"} 0' in text


def test_by_default_they_are_not() -> None:
    with serving(REPOSITORY, FLAGS) as port, pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")
    assert caught.value.code == 404
    caught.value.close()


def test_counters_of_a_model_go_on_when_it_is_loaded_anew_and_begin_anew_once_it_was_unloaded(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "identity_fp32", tmp_path / "identity_fp32")

    def post(path: str, value: object) -> None:
        url = f"http://127.0.0.1:{port}/v2/{path}"
        with urllib.request.urlopen(url, json.dumps(value).encode()):
            pass

    def infer() -> None:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 1], "data": [1]}
        post("models/identity_fp32/infer", {"inputs": [tensor]})

    def counted() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            lines = response.read().decode().splitlines()
        return next(line for line in lines if line.startswith("nv_inference_request_success")).split()[1]

    with serving(tmp_path, [*FLAGS, "--metrics-on-http=true"]) as port:
        infer()
        os.utime(tmp_path / "identity_fp32" / "1" / "model.onnx", (1, 1))
        post("repository/models/identity_fp32/load", {})
        infer()
        assert counted() == "2"
        post("repository/models/identity_fp32/unload", {})
        post("repository/models/identity_fp32/load", {})
        assert counted() == "0"
