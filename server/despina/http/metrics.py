"""The metrics port: one document, and nothing else.

Tritonserver answers every other path on this port with an empty 200 (protocol §1.16), and so does this.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from despina.config.instance_groups import placements
from despina.config.proto import ModelConfig
from despina.http.endpoint import Endpoint
from despina.http.json_body import json_response
from despina.telemetry.cpu_usage import CpuUsage
from despina.telemetry.exposition import CONTENT_TYPE
from despina.telemetry.gpu_usage import open_gpus
from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.metrics import Metrics, MetricsOptions, Sources
from despina.telemetry.system_families import CacheUsage

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.scheduling.response_cache import ResponseCache
    from despina.server import Server
    from despina.settings import Settings

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


def open_metrics(server: Server) -> Metrics:
    """The metrics of a server, as its settings want them. Looks for GPUs; models are read later."""
    settings = server.settings
    interval_s = settings.metrics_interval_ms / 1000
    sources = Sources(
        models=lambda: map(measured, server.models.held()),
        cache=None if server.cache is None else partial(cache_usage, server.cache),
        cpu=CpuUsage(interval_s) if settings.allow_metrics and settings.allow_cpu_metrics else None,
        gpus=open_gpus(interval_s) if settings.allow_metrics and settings.allow_gpu_metrics else None,
    )
    return Metrics(sources, metrics_options(settings))


def cache_usage(cache: ResponseCache) -> CacheUsage:
    return CacheUsage(
        cache.capacity,
        cache.used,
        len(cache),
        cache.hits,
        cache.misses,
        cache.evictions,
        cache.lookup_ns,
        cache.insertion_ns,
    )


def metrics_options(settings: Settings) -> MetricsOptions:
    config = settings.metrics_config
    return MetricsOptions(
        config.counter_latencies,
        config.summary_latencies and settings.allow_metrics,
        tuple(quantile for quantile, _ in config.summary_quantiles),
        settings.pinned_memory_pool_byte_size,
    )


def measured(model: Model) -> MeasuredModel:
    return MeasuredModel(
        model.name,
        model.version,
        model.statistics,
        dict(model.config.metric_tags),
        model.load_seconds,
        cached=model.config.response_cache.enable,
        gpu=only_gpu(model.config),
    )


def only_gpu(config: ModelConfig) -> int | None:
    """The GPU that all instances of a model run on, if it is one."""
    devices = {placement.device for placement in placements(config)}
    device = devices.pop() if len(devices) == 1 else None
    return device.id if device is not None and device.kind == "GPU" else None


def metrics_app(metrics: Metrics) -> Starlette:
    """GET /metrics and /metrics/ are the metrics as text; other paths are empty; methods other than GET are 405."""

    async def answer(request: Request) -> Response:
        if request.method != "GET":
            return json_response({"error": "Method Not Allowed"}, 405)
        if request.url.path not in ("/metrics", "/metrics/"):
            return Response()
        return await metrics_response(metrics)

    return Starlette(routes=[Route("/{path:path}", answer, methods=list(_METHODS))])


async def scrape(request: Request, server: Server) -> Response:
    """The metrics in the Prometheus text format, as on the metrics port."""
    return await metrics_response(server.metrics)


ON_HTTP = Endpoint(("GET",), "/metrics", None, scrape)
"""With `--metrics-on-http` the metrics are on the HTTP port, too."""


async def metrics_response(metrics: Metrics) -> Response:
    """The metrics as text. The list of models is taken on the event loop, which owns it; they are looked at and the
    text is written elsewhere, because that, reading GPUs and formatting thousands of lines would hold requests up."""
    models = metrics.sources.models()
    return Response(await run_in_threadpool(metrics.text, models), headers={"content-type": CONTENT_TYPE})
