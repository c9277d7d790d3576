"""An inference request from an ordinary endpoint to a model, and its results as the client sees them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request

from despina.protocol.messages import InferRequest, OutputTensor
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model


async def submit(request: Request, model: Model, infer_request: InferRequest) -> Pending:
    """The answered request; look at its `error` first. Raises DespinaError when the model does not take it, and
    ClientDisconnect when the client hangs up. The body of `request` must have been read."""
    answer: asyncio.Future[Pending] = asyncio.get_running_loop().create_future()

    def done(pending: Pending) -> None:
        if not answer.done():
            answer.set_result(pending)

    pending = model.submit(infer_request, done, client=request.client)
    if answer.done():
        return answer.result()
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not answer.done():
            answer.cancel()
            model.request_gone(pending)
    if answer.cancelled():
        raise ClientDisconnect
    return answer.result()


def output_tensors(model: Model, pending: Pending) -> list[OutputTensor]:
    """Every output of a successful request, in the order of their names."""
    signature, results = model.signature, pending.results
    assert results is not None
    batches = signature.max_batch_size > 0
    return [
        OutputTensor(name, (spec := signature.outputs[name]).datatype.name, spec.to_client(results[name], batches))
        for name in signature.output_order
        if name in results
    ]
