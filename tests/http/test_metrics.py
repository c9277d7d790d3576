import asyncio

import pytest
from despina.http.metrics import metrics_app
from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.metrics import Metrics, Sources
from despina.telemetry.statistics import ModelStatistics
from starlette.types import Message


def ask(method: str, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of one request to the app of a server with one model."""
    app = metrics_app(Metrics(Sources(models=lambda: [MeasuredModel("m", 1, ModelStatistics())])))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
def test_both_paths_answer_the_text(path: str) -> None:
    status, headers, body = ask("GET", path)
    assert status == 200
    assert headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert b'nv_inference_count{model="m",version="1"} 0\n' in body


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/x", "/v2/health/ready"])
def test_other_paths_are_empty_and_fine(path: str) -> None:
    status, _, body = ask("GET", path)
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE"])
def test_only_get_is_allowed(method: str) -> None:
    status, _, body = ask(method, "/metrics")
    assert (status, body) == (405, b'{"error":"Method Not Allowed"}')
