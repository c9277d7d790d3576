"""Traces as OpenTelemetry spans.

A request becomes the span `InferRequest`, holding a span per model it went through (named after the model), which
holds the span `compute`. The stamps are the events of the span they belong to. OpenTelemetry is an extra of the
package: nothing here is imported unless the mode is asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from despina.errors import InvalidArgument
from despina.telemetry.tracing.thread import Groups, TraceThread
from despina.telemetry.tracing.trace import Request, Stamp, Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

DEFAULT_URL = "http://localhost:4318/v1/traces"


class SpanExporter:
    """A sink that turns traces into spans, in a thread of its own. `provider` does the batching and sending."""

    def __init__(self, provider: TracerProvider, epoch_ns: int | None = None) -> None:
        """`epoch_ns` is what to add to `time.monotonic_ns` to get nanoseconds since 1970."""
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("despina")
        self._epoch_ns = time.time_ns() - time.monotonic_ns() if epoch_ns is None else epoch_ns
        self._thread = TraceThread()

    def append(self, groups: Groups) -> None:
        self._thread.submit(self._export, groups)

    save_numbered = append

    def close(self) -> None:
        self._thread.close()
        self._provider.shutdown()

    def _export(self, groups: Groups) -> None:
        for group in groups:
            self._export_group(group)

    def _export_group(self, group: Sequence[Trace]) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        root = group[0]
        stamps = [entry for entry in root.entries if isinstance(entry, Stamp)]
        if not stamps:
            return
        context = TraceContextTextMapPropagator().extract(root.carrier or {})
        span = self._start("InferRequest", stamps[0].ns, context)
        self._add_events(span, [stamp for stamp in stamps if _of_the_exchange(stamp)])
        spans: dict[int, Span] = {0: span}
        for trace in group:
            spans[trace.id] = self._export_request(trace, spans.get(trace.parent_id, span))
        self._end(span, max(stamp.ns for stamp in stamps))

    def _export_request(self, trace: Trace, parent: Span) -> Span:
        stamps = [entry for entry in trace.entries if isinstance(entry, Stamp) and not _of_the_exchange(entry)]
        request = next((entry for entry in trace.entries if isinstance(entry, Request)), None)
        if request is None or not stamps:
            return parent
        span = self._start(request.model_name, stamps[0].ns, _inside(parent))
        span.set_attribute("triton.model_name", request.model_name)
        span.set_attribute("triton.model_version", request.model_version)
        span.set_attribute("triton.trace_id", trace.id)
        span.set_attribute("triton.trace_parent_id", trace.parent_id)
        if request.request_id:
            # An id that is no UTF-8 would cost all spans that are sent together with this one.
            identity = request.request_id.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            span.set_attribute("triton.request_id", identity)
        compute = [stamp for stamp in stamps if stamp.name.startswith("COMPUTE_")]
        self._add_events(span, [stamp for stamp in stamps if stamp not in compute])
        self._export_compute(compute, span)
        self._end(span, max(stamp.ns for stamp in stamps))
        return span

    def _export_compute(self, stamps: Sequence[Stamp], parent: Span) -> None:
        if stamps:
            span = self._start("compute", stamps[0].ns, _inside(parent))
            self._add_events(span, stamps)
            self._end(span, stamps[-1].ns)

    def _start(self, name: str, ns: int, context: Context) -> Span:
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(name, context, SpanKind.SERVER, start_time=ns + self._epoch_ns)

    def _add_events(self, span: Span, stamps: Sequence[Stamp]) -> None:
        for stamp in stamps:
            span.add_event(stamp.name, timestamp=stamp.ns + self._epoch_ns)

    def _end(self, span: Span, ns: int) -> None:
        span.end(ns + self._epoch_ns)


def _of_the_exchange(stamp: Stamp) -> bool:
    """Whether it says something of the exchange with the client, and not of a model."""
    return stamp.name.startswith("HTTP_") or stamp.name == "INFER_RESPONSE_COMPLETE"


def _inside(parent: Span) -> Context:
    from opentelemetry.trace import set_span_in_context

    return set_span_in_context(parent)


def open_exporter(options: Mapping[str, Sequence[str]]) -> SpanExporter:
    """An exporter that sends to the collector at `url`, by HTTP unless that says otherwise. `resource` adds attributes
    (`key=value`), `bsp_*` bound the batches. Raises InvalidArgument when OpenTelemetry is not installed or an option is
    not a number."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    except ImportError as error:
        raise InvalidArgument(
            f"--trace-config mode=opentelemetry needs OpenTelemetry ({error}): pip install 'despina[otel]'"
        ) from error
    provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.create(_resource(options.get("resource", ()))))
    url = (options.get("url") or (DEFAULT_URL,))[-1]
    processor = BatchSpanProcessor(
        OTLPSpanExporter(endpoint=url if "://" in url else f"http://{url}"),
        max_queue_size=_number(options, "bsp_max_queue_size", 2048),
        schedule_delay_millis=_number(options, "bsp_schedule_delay", 5000),
        max_export_batch_size=_number(options, "bsp_max_export_batch_size", 512),
    )
    provider.add_span_processor(processor)
    return SpanExporter(provider)


def _resource(entries: Sequence[str]) -> dict[str, str]:
    """The attributes of the service; the environment's OTEL_SERVICE_NAME comes before our own name."""
    given = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return {"service.name": os.environ.get("OTEL_SERVICE_NAME", "triton-inference-server"), **given}


def _number(options: Mapping[str, Sequence[str]], key: str, default: int) -> int:
    text = (options.get(key) or (str(default),))[-1]
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"--trace-config opentelemetry,{key}: expected a number, got '{text}'") from None
