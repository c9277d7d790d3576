"""Outputs of a request that go to shared memory instead of into the reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from despina.errors import DespinaError, Internal
from despina.protocol.encode import Buffer, binary_data
from despina.protocol.messages import Array, InferRequest
from despina.scheduling.pending import Pending
from despina.shared_memory.window import Window

if TYPE_CHECKING:
    from despina.models.model import Model


COPIED = 32768
"""Bytes of an output that are copied before they are written: a view of them takes 0.6 µs, as a copy of 60 kB does."""


def windows_of(request: InferRequest) -> dict[str, Window] | None:
    """Where outputs of a decoded request go, by their names; None when all of them are in the reply."""
    windows: dict[str, Window] = {}
    for output in request.outputs:
        if isinstance(output.shared_memory, Window):
            windows[output.name] = output.shared_memory
    return windows or None


def place_outputs(model: Model, windows: Mapping[str, Window], pending: Pending) -> None:
    """Write outputs to their windows, in the order of their names. Raises DespinaError when one does not fit, or the
    client has taken the memory away."""
    signature, results = model.signature, pending.results
    assert results is not None
    for name in signature.output_order:
        window, array = windows.get(name), results.get(name)
        if window is None or array is None:
            continue
        try:
            _place(window, _bytes(array, signature.outputs[name].datatype.name), model, name)
        except DespinaError as error:
            # As in tritonserver, where the backend asks for the place, this inference has failed. Another object than
            # the one that is raised: that holds these frames, and with them the region, which has to be free at once.
            pending.error = Internal(error.message)
            raise


def _bytes(array: Array, datatype: str) -> Buffer:
    """What the client finds in memory, whatever the shape."""
    if array.nbytes <= COPIED and datatype != "BYTES":
        return array.tobytes()
    return binary_data(datatype, array)


def _place(window: Window, data: Buffer, model: Model, output: str) -> None:
    if len(data) > window.byte_size:
        within = f"in ensemble '{model.name}', " if model.config.HasField("ensemble_scheduling") else ""
        raise Internal(
            f"{within}shared memory size specified with the request for output '{output}' "
            f"({window.byte_size} bytes) should be at least {len(data)} bytes to hold the results"
        )
    window.write(data)
