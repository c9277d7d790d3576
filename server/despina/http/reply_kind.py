"""Replies that differ in nothing but the shapes and the data of their tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from despina.http.reply_frame import Form, ReplyFrame, filled, frame_around
from despina.protocol.encode import Buffer
from despina.protocol.messages import InferRequest, RequestedOutput
from despina.remember import remember
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model

MAX_FRAMES = 1024


@dataclass(frozen=True, slots=True)
class ReplyKind:
    """`outputs` are the names and datatypes of the outputs in the order of the reply, `forms` say how each comes back.
    `frames` maps their shapes, or that of the only one, and parameters of the reply to what is around their data. The
    model is only named: a connection that has lain idle since its last request must not keep one that was unloaded."""

    model: str
    version: int
    outputs: tuple[tuple[str, str], ...]
    forms: tuple[Form, ...]
    frames: dict[tuple[object, ...], ReplyFrame] = field(default_factory=dict)

    def compose(self, pending: Pending) -> tuple[list[Buffer], int, int] | None:
        """Buffers of the reply, their size, and the length of its JSON if binary data follows; None for the full
        way. Outputs that go to shared memory are there already."""
        results = pending.results
        assert results is not None
        parameters = pending.response_parameters
        if parameters and (pending.parameters or pending.correlation_id):
            return None  # An explanation that was asked for, or a sequence. Those of ensembles are always the same.
        try:
            arrays = [results[name] for name, _ in self.outputs]
        except KeyError:
            return None  # A model may leave out what needs an optional input, and make others nobody asked for.
        shapes = arrays[0].shape if len(arrays) == 1 else tuple([array.shape for array in arrays])
        kind = shapes if not parameters else (shapes, *parameters.items())
        frame = self.frames.get(kind)
        if frame is None:
            frame = frame_around(self.model, self.version, self.outputs, self.forms, arrays, parameters)
            if frame is None:
                return None
            remember(self.frames, kind, frame, MAX_FRAMES)
        return filled(frame, arrays, pending.id)


def reply_kind(model: Model, request: InferRequest) -> ReplyKind | None:
    """That of the replies to a request without classification; None when they differ in more than data."""
    signature = model.signature
    wanted: dict[str, Form] = {output.name: form_of(output) for output in request.outputs}
    every: Form = "binary" if request.binary_output else "JSON"
    specs = [signature.outputs[name] for name in signature.output_order if not wanted or name in wanted]
    forms: list[Form] = [wanted.get(spec.name, every) for spec in specs]
    for spec, form in zip(specs, forms, strict=True):
        if spec.reshape is not None or (spec.datatype.kind == "half" and form == "JSON"):
            return None
    outputs = tuple([(spec.name, spec.datatype.name) for spec in specs])
    return ReplyKind(model.name, model.version, outputs, tuple(forms))


def form_of(output: RequestedOutput) -> Form:
    """How an output comes back that is not classified."""
    if output.shared_memory is not None:
        return "placed"
    return "binary" if output.binary else "JSON"
