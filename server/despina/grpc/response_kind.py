"""Responses that differ in nothing but their ids, and the shapes and the bytes of their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from despina.grpc.infer_response import response_head
from despina.grpc.wire import field_head
from despina.http.placed_outputs import COPIED
from despina.protocol.encode import Buffer, EncodedOutput, binary_data
from despina.protocol.messages import Array, InferRequest, OutputTensor
from despina.remember import remember

if TYPE_CHECKING:
    from despina.models.model import Model
    from despina.scheduling.pending import Pending

MAX_FRAMES = 64

_ID = 3
_RAW_OUTPUT_CONTENTS = 6


@dataclass(frozen=True, slots=True)
class ResponseKind:
    """`outputs` are the names and datatypes of the outputs in their order. `frames` maps their shapes to what is
    before the id of the response, between that and the first tensor, and before each further one."""

    model: str
    version: int
    outputs: tuple[tuple[str, str], ...]
    frames: dict[object, tuple[bytes, ...]] = field(default_factory=dict)

    def write(self, pending: Pending) -> list[Buffer] | None:
        """The serialized response in pieces; None when it has to be written in full."""
        results = pending.results
        assert results is not None
        if pending.response_parameters:
            return None
        try:
            arrays = [results[name] for name, _ in self.outputs]
        except KeyError:
            return None  # a model may leave out what needs an optional input
        shapes = arrays[0].shape if len(arrays) == 1 else tuple([array.shape for array in arrays])
        frame = self.frames.get(shapes)
        if frame is None:
            if () in (array.shape for array in arrays):
                return None  # clients see scalars otherwise
            frame = remember(self.frames, shapes, self._frame(arrays), MAX_FRAMES)
        pieces: list[Buffer] = [frame[0]]
        if pending.id:
            text = pending.id.encode()
            pieces += (field_head(_ID, len(text)), text)
        # None of these are texts, so the datatype tells nothing more of their bytes.
        for head, array in zip(frame[1:], arrays, strict=True):
            pieces += (head, array.tobytes() if array.nbytes <= COPIED else binary_data("", array))
        return pieces

    def _frame(self, arrays: Sequence[Array]) -> tuple[bytes, ...]:
        tensors = [
            EncodedOutput(OutputTensor(name, datatype, array))
            for (name, datatype), array in zip(self.outputs, arrays, strict=True)
        ]
        start = response_head(self.model, self.version, "", (), None)
        whole = response_head(self.model, self.version, "", tensors, None)
        heads = [field_head(_RAW_OUTPUT_CONTENTS, array.nbytes) for array in arrays]
        return start, whole[len(start) :] + heads[0], *heads[1:]


def response_kind(model: Model, request: InferRequest) -> ResponseKind | None:
    """That of the responses to a request; None when they differ in more than data."""
    signature = model.signature
    wanted = {output.name: output for output in request.outputs}
    specs = [signature.outputs[name] for name in signature.output_order if not wanted or name in wanted]
    for spec in specs:
        output = wanted.get(spec.name)
        if spec.reshape is not None or spec.datatype.name == "BYTES":
            return None
        if output is not None and (output.classification or output.shared_memory is not None):
            return None
    outputs = tuple([(spec.name, spec.datatype.name) for spec in specs])
    return ResponseKind(model.name, model.version, outputs) if outputs else None
