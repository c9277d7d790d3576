"""`/metrics` on the HTTP port: only when asked for."""

import os
import shutil
from pathlib import Path

from tests.support.asking import ask, ask_json
from tests.support.serving import REPOSITORY, serving

FLAGS = ["--model-control-mode=explicit", "--load-model=identity_fp32"]


def test_metrics_are_on_the_http_port_when_asked_for() -> None:
    with serving(REPOSITORY, [*FLAGS, "--metrics-on-http=true"]) as port:
        status, headers, body = ask(port, "GET", "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert b'nv_inference_request_success{model="identity_fp32",version="1"} 0' in body


def test_by_default_they_are_not() -> None:
    with serving(REPOSITORY, FLAGS) as port:
        assert ask(port, "GET", "/metrics").status == 404


def test_counters_of_a_model_go_on_when_it_is_loaded_anew_and_begin_anew_once_it_was_unloaded(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "identity_fp32", tmp_path / "identity_fp32")

    def infer() -> None:
        tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [1, 1], "data": [1]}
        assert ask_json(port, "POST", "/v2/models/identity_fp32/infer", {"inputs": [tensor]})[0] == 200

    def change(how: str) -> None:
        assert ask_json(port, "POST", f"/v2/repository/models/identity_fp32/{how}", {})[0] == 200

    def counted() -> str:
        lines = ask(port, "GET", "/metrics").body.decode().splitlines()
        return next(line for line in lines if line.startswith("nv_inference_request_success")).split()[1]

    with serving(tmp_path, [*FLAGS, "--metrics-on-http=true"]) as port:
        infer()
        os.utime(tmp_path / "identity_fp32" / "1" / "model.onnx", (1, 1))
        change("load")
        infer()
        assert counted() == "2"
        change("unload")
        change("load")
        assert counted() == "0"
