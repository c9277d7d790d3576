from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from threading import Thread
from typing import Any

import pytest

from despina.errors import InvalidArgument
from despina.telemetry.tracing.spans import SpanExporter, open_exporter
from despina.telemetry.tracing.trace import Trace

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def exported(root: Trace) -> dict[str, Any]:
    """The spans of one request by name; monotonic 0 is 1000 ns after 1970."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    memory = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_ON)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    exporter = SpanExporter(provider, epoch_ns=1000)
    exporter.append([root.group])
    exporter.close()
    return {span.name: span for span in memory.get_finished_spans()}


def traced(carrier: dict[str, str] | None = None) -> Trace:
    trace = Trace(count(1), ("TIMESTAMPS",), lambda group: None, carrier)
    trace.stamp("HTTP_RECV_START", 10)
    trace.start_request("dyn", 3, "req-1", 20)
    trace.stamp("QUEUE_START", 30)
    trace.stamp("INFER_RESPONSE_COMPLETE", 55)
    trace.stamp("COMPUTE_START", 40)
    trace.stamp("COMPUTE_END", 50)
    trace.stamp("REQUEST_END", 60)
    trace.stamp("HTTP_SEND_END", 70)
    return trace


def test_a_request_is_a_span_with_a_span_per_model_and_compute() -> None:
    spans = exported(traced())
    root, model, compute = spans["InferRequest"], spans["dyn"], spans["compute"]
    assert root.parent is None
    assert (model.parent.span_id, compute.parent.span_id) == (root.context.span_id, model.context.span_id)
    assert [(span.start_time, span.end_time) for span in (root, model, compute)] == [
        (1010, 1070),
        (1020, 1060),
        (1040, 1050),
    ]
    assert [(event.name, event.timestamp) for event in model.events] == [
        ("REQUEST_START", 1020),
        ("QUEUE_START", 1030),
        ("REQUEST_END", 1060),
    ]
    assert [event.name for event in root.events] == ["HTTP_RECV_START", "INFER_RESPONSE_COMPLETE", "HTTP_SEND_END"]
    assert [event.name for event in compute.events] == ["COMPUTE_START", "COMPUTE_END"]
    assert dict(model.attributes) == {
        "triton.model_name": "dyn",
        "triton.model_version": 3,
        "triton.trace_id": 1,
        "triton.trace_parent_id": 0,
        "triton.request_id": "req-1",
    }


def test_a_trace_context_becomes_the_parent_even_if_it_is_not_sampled() -> None:
    root = exported(traced({"traceparent": PARENT}))["InferRequest"]
    assert format(root.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert format(root.parent.span_id, "016x") == "b7ad6b7169203331"


def test_the_steps_of_an_ensemble_are_inside_its_span() -> None:
    root = Trace(count(1), ("TIMESTAMPS",), lambda group: None)
    root.start_request("ens", 1, "", 1)
    root.child().start_request("add1", 1, "", 2)
    spans = exported(root)
    assert spans["add1"].parent.span_id == spans["ens"].context.span_id


def test_an_option_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="bsp_schedule_delay: expected a number, got 'soon'"):
        open_exporter({"bsp_schedule_delay": ("soon",)})


def test_an_exporter_can_be_opened_and_closed_without_a_collector() -> None:
    open_exporter({"url": ("http://127.0.0.1:9/v1/traces",), "resource": ("service.name=x",)}).close()


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_spans_go_to_the_collector_whether_or_not_its_url_has_a_scheme(scheme: str) -> None:
    paths: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        collector.timeout = 10
        waiting = Thread(target=collector.handle_request)
        waiting.start()
        exporter = open_exporter({"url": (f"{scheme}127.0.0.1:{collector.server_port}/v1/traces",)})
        root = Trace(count(1), ("TIMESTAMPS",), lambda group: None)
        root.start_request("m", 1, "", 1)
        exporter.append([root.group])
        exporter.close()
        waiting.join()
    assert paths == ["/v1/traces"]


def test_an_id_that_is_no_text_is_shown_as_far_as_it_is() -> None:
    root = Trace(count(1), ("TIMESTAMPS",), lambda group: None)
    root.start_request("m", 1, "a\udcff", 1)
    assert exported(root)["m"].attributes["triton.request_id"] == "a\N{REPLACEMENT CHARACTER}"
