"""`/metrics` on the HTTP port: only when asked for."""

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
