"""An inference request from an ordinary endpoint to a model, and its results as the client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect, Request

from despina.models.tracing import trace_request
from despina.protocol.messages import InferRequest, OutputTensor
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.telemetry.tracing.trace import Trace

T = TypeVar("T")


async def submit(request: Request, model: Model, read: Callable[[], InferRequest]) -> Pending:
    """The answered request; look at its `error` first. Raises DespinaError when it cannot be read or the model does not
    take it, and ClientDisconnect when the client hangs up. The body of `request` must have been read."""
    answer: asyncio.Future[Pending] = asyncio.get_running_loop().create_future()
    trace = _start_trace(request, model)

    def done(pending: Pending) -> None:
        if trace is not None:
            trace_request(trace, model.name, model.version, model.signature, pending)
            _end_trace(trace)
        if not answer.done():
            answer.set_result(pending)

    try:
        pending = model.submit(read(), done, trace, request.client)
    except Exception:
        if trace is not None:
            _end_trace(trace)
        raise
    try:
        return await while_connected(request, answer)
    finally:
        if not answer.done():
            model.request_gone(pending)


async def while_connected(request: Request, answer: asyncio.Future[T]) -> T:
    """The answer. Raises ClientDisconnect when the client hangs up first. The body of `request` must have been read."""
    if answer.done():
        return answer.result()
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
    if not answer.done():
        raise ClientDisconnect
    return answer.result()


def trace_context(request: Request) -> dict[str, str]:
    """The headers that say which trace elsewhere a request is part of."""
    return {name: request.headers[name] for name in ("traceparent", "tracestate") if name in request.headers}


def _start_trace(request: Request, model: Model) -> Trace | None:
    trace = model.trace.sample(trace_context(request)) if model.trace.active else None
    if trace is not None:
        trace.stamp("HTTP_RECV_START")
        trace.stamp("HTTP_RECV_END")
    return trace


def _end_trace(trace: Trace) -> None:
    """The answer goes out next."""
    trace.stamp("HTTP_SEND_START")
    trace.stamp("HTTP_SEND_END")
    trace.close()


def output_tensors(model: Model, pending: Pending) -> list[OutputTensor]:
    """Every output of a successful request, in the order of their names."""
    signature, results = model.signature, model.client_results(pending)
    return [
        OutputTensor(name, signature.outputs[name].datatype.name, results[name])
        for name in signature.output_order
        if name in results
    ]
