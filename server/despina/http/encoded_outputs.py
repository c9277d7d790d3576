"""Results of a model as the outputs of a response, in the form in which each was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from despina.protocol import classification, encode
from despina.protocol.encode import EncodedOutput
from despina.protocol.messages import Array, InferRequest, OutputTensor, RequestedOutput
from despina.scheduling.pending import Pending

if TYPE_CHECKING:
    from despina.models.model import Model


def encode_outputs(model: Model, request: InferRequest, pending: Pending) -> list[EncodedOutput]:
    """Every output of the reply, in the order of their names. Those that go to shared memory are there already."""
    assert pending.results is not None
    wanted = {output.name: output for output in request.outputs}
    encoded: list[EncodedOutput] = []
    for name in model.signature.output_order:
        if wanted and name not in wanted:
            continue
        array = pending.results.get(name)
        if array is None:
            continue
        output = wanted.get(name) or RequestedOutput(name, request.binary_output)
        encoded.append(_encode_output(model, output, array))
    return encoded


def _encode_output(model: Model, output: RequestedOutput, array: Array) -> EncodedOutput:
    spec = model.signature.outputs[output.name]
    batches = model.signature.max_batch_size > 0
    array = spec.to_client(array, batches)
    if output.classification:
        labels = model.labels.get(output.name, [])
        array = classification.classify(array, spec.datatype.name, output.classification, labels, batches)
        return encode.encode_output(OutputTensor(output.name, "BYTES", array), output.binary)
    tensor = OutputTensor(output.name, spec.datatype.name, array)
    if output.shared_memory is not None:
        return EncodedOutput(tensor)
    return encode.encode_output(tensor, output.binary)
