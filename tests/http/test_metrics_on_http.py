"""`/metrics` on the HTTP port: only when asked for."""

from tests.support.asking import ask
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
