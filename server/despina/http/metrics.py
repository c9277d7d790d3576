"""The metrics port: one document, and nothing else.

Tritonserver answers every other path on this port with an empty 200 (protocol §1.16), and so does this.
"""

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from despina.telemetry.exposition import CONTENT_TYPE
from despina.telemetry.metrics import Metrics

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def metrics_app(metrics: Metrics) -> Starlette:
    """GET /metrics and /metrics/ are the metrics as text; other paths are empty; methods other than GET are 405."""

    async def answer(request: Request) -> Response:
        if request.method != "GET":
            return JSONResponse({"error": "Method Not Allowed"}, status_code=405)
        if request.url.path not in ("/metrics", "/metrics/"):
            return Response()
        return await metrics_response(metrics)

    return Starlette(routes=[Route("/{path:path}", answer, methods=list(_METHODS))])


async def metrics_response(metrics: Metrics) -> Response:
    """The metrics as text. The list of models is taken on the event loop, which owns it; the text is written elsewhere,
    because reading GPUs and formatting thousands of lines would hold requests up."""
    models = tuple(metrics.sources.models())
    return Response(await run_in_threadpool(metrics.text, models), headers={"content-type": CONTENT_TYPE})
