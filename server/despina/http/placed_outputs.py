"""Outputs of a request that go to shared memory instead of into the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from despina.errors import DespinaError, Internal
from despina.protocol import encode
from despina.protocol.encode import Buffer
from despina.protocol.messages import InferRequest, OutputTensor
from despina.scheduling.pending import Pending
from despina.shared_memory.window import Window

if TYPE_CHECKING:
    from despina.models.model import Model


def place_outputs(model: Model, request: InferRequest, pending: Pending) -> None:
    """Write the outputs that a request wants in shared memory, in the order of their names. Raises DespinaError when
    one does not fit, or the client has taken the memory away."""
    signature, results = model.signature, pending.results
    assert results is not None
    windows = {output.name: output.shared_memory for output in request.outputs}
    for name in signature.output_order:
        window, array = windows.get(name), results.get(name)
        if window is None or array is None:
            continue
        spec = signature.outputs[name]
        tensor = OutputTensor(name, spec.datatype.name, spec.to_client(array, signature.max_batch_size > 0))
        try:
            _place(window, encode.binary_data(tensor), model, name)
        except DespinaError as error:
            # As in tritonserver, where the backend asks for the place, this inference has failed. Another object than
            # the one that is raised: that holds these frames, and with them the region, which has to be free at once.
            pending.error = Internal(error.message)
            raise


def _place(window: Window, data: Buffer, model: Model, output: str) -> None:
    if len(data) > window.byte_size:
        within = f"in ensemble '{model.name}', " if model.config.HasField("ensemble_scheduling") else ""
        raise Internal(
            f"{within}shared memory size specified with the request for output '{output}' "
            f"({window.byte_size} bytes) should be at least {len(data)} bytes to hold the results"
        )
    window.write(data)
