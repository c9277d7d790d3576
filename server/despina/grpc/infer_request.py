"""A ModelInferRequest into an InferRequest (protocol §7).

The checks run in the order of the real server, because the first error wins and clients match on its text. What needs
the model (names, datatypes, shapes, sizes) is checked at admission.
"""

from collections.abc import Sequence

from despina.errors import InvalidArgument
from despina.grpc.infer_parameters import read_parameters
from despina.grpc.method import Message
from despina.grpc.refusal import refusal
from despina.grpc.tensor_place import tensor_place
from despina.grpc.typed_contents import typed_contents
from despina.protocol.decode import UINT32_MAX, FindRegion
from despina.protocol.fields import cut_at_nul
from despina.protocol.messages import InferInput, InferRequest, RequestedOutput


def read_request(
    message: Message, find_region: FindRegion, raw: Sequence[bytes | memoryview] | None = None
) -> InferRequest:
    """The request in a ModelInferRequest. All outputs come back as binary data. `raw` are its raw contents where they
    are not in the message (`large_request.py`). Raises DespinaError."""
    request = InferRequest(cut_at_nul(message.id), binary_output=True)
    # Every look at a field that is a message or a list takes 0.1 µs, so each is looked at once.
    parameters = message.parameters
    if parameters:
        read_parameters(parameters, request)
    tensors, outputs = message.inputs[:], message.outputs[:]
    input_names = _names(tensors, "input", request)
    output_names = _names(outputs, "output", request) if outputs else []
    request.inputs = _read_inputs(
        message, input_names, tensors, message.raw_input_contents[:] if raw is None else raw, find_region
    )
    if outputs:
        request.outputs = [
            _read_output(name, output, find_region) for name, output in zip(output_names, outputs, strict=True)
        ]
    return request


def _names(tensors: Sequence[Message], kind: str, request: InferRequest) -> list[str]:
    """Of inputs or outputs. Raises InvalidArgument when two have the same."""
    names = [cut_at_nul(tensor.name) for tensor in tensors]
    if len(names) > 1:
        known: set[str] = set()
        for name in names:
            if name in known:
                raise InvalidArgument(f"{request.label}{kind} '{name}' already exists in request")
            known.add(name)
    return names


def _read_inputs(
    message: Message,
    names: Sequence[str],
    tensors: Sequence[Message],
    raw: Sequence[bytes | memoryview],
    find_region: FindRegion,
) -> list[InferInput]:
    """`raw` are the contents of the inputs that are not in shared memory, in their order; what is left over is
    ignored."""
    inputs: list[InferInput] = []
    taken = 0
    for name, tensor in zip(names, tensors, strict=True):
        datatype, shape = cut_at_nul(tensor.datatype), tuple(tensor.shape[:])
        place = tensor_place(tensor) if tensor.parameters else None
        if place is not None:
            if tensor.HasField("contents"):
                raise _misplaced(message, tensor)
            inputs.append(InferInput(name, datatype, shape, find_region(place)))
        elif tensor.HasField("contents"):
            if raw:
                raise _twice(message, tensor)
            inputs.append(InferInput(name, datatype, shape, typed_contents(tensor, datatype, message.model_name)))
        elif taken < len(raw):
            inputs.append(InferInput(name, datatype, shape, memoryview(raw[taken])))
            taken += 1
        else:
            raise _missing(message, tensor)
    return inputs


def _misplaced(message: Message, tensor: Message) -> InvalidArgument:
    return refusal(
        f"unexpected 'content' provided when using shared memory for input tensor '{tensor.name}' for model "
        f"'{message.model_name}'"
    )


def _twice(message: Message, tensor: Message) -> InvalidArgument:
    return refusal(
        f"contents field must not be specified when using raw_input_contents for '{tensor.name}' for model "
        f"'{message.model_name}'"
    )


def _missing(message: Message, tensor: Message) -> InvalidArgument:
    return refusal(f"unable to find data for input tensor '{tensor.name}' for model '{message.model_name}' in request.")


def _read_output(name: str, output: Message, find_region: FindRegion) -> RequestedOutput:
    if not output.parameters:
        return RequestedOutput(name, binary=True)
    place = tensor_place(output)
    classes = _classification(output)
    if place is None:
        return RequestedOutput(name, binary=True, classification=classes)
    if classes:
        raise refusal("output can't set both 'shared_memory_region' and 'classification'")
    return RequestedOutput(name, binary=True, shared_memory=find_region(place))


def _classification(output: Message) -> int:
    """How many classes are asked for, 0 when none are."""
    parameter = output.parameters.get("classification")
    if parameter is None:
        return 0
    if parameter.WhichOneof("parameter_choice") != "int64_param":
        raise refusal("invalid value type for 'classification' parameter, expected int64_param")
    if parameter.int64_param <= 0:
        raise refusal("invalid value for 'classification' parameter, expected >= 0")
    # As the real server holds it.
    count: int = parameter.int64_param & UINT32_MAX
    return count
