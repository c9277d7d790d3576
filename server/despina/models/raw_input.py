"""The single input of a raw request, which came as nothing but bytes: what the model makes of it (protocol §2.8)."""

from collections.abc import Mapping
from math import prod

import numpy as np

from despina.errors import InvalidArgument
from despina.models.tensor_spec import TensorSpec
from despina.protocol import bytes_tensor
from despina.protocol.messages import InferInput, InferRequest


def describe_raw(request: InferRequest, model: str, inputs: Mapping[str, TensorSpec], *, batches: bool) -> None:
    """Give the single input of a raw request its name, datatype and shape. `batches`: the model has a batch dimension.
    Raises InvalidArgument."""
    if len(inputs) != 1:
        raise InvalidArgument(
            f"{request.label}Raw request must only have 1 input (found 1) to be deduced but got {len(inputs)} "
            f"inputs in '{model}' model configuration"
        )
    (spec,) = inputs.values()
    item = request.inputs[0]
    if spec.dims.count(-1) > 1:
        raise InvalidArgument(
            f"{request.label}The shape of the raw input '{spec.name}' can not be deduced because there are more "
            "than one variable-sized dimension"
        )
    assert isinstance(item.data, memoryview)
    if spec.datatype.kind == "bytes":
        shape = _bytes_shape(spec, request)
        element = np.empty(1, object)
        element[0] = bytes(item.data)
        item.data = memoryview(bytes_tensor.encode(element))
    else:
        fixed = prod(dim for dim in spec.dims if dim != -1) * spec.datatype.size
        variable = item.data.nbytes // fixed if fixed else 0
        shape = tuple(variable if dim == -1 else dim for dim in spec.dims)
    request.inputs[0] = InferInput(spec.name, spec.datatype.name, (1, *shape) if batches else shape, item.data)


def _bytes_shape(spec: TensorSpec, request: InferRequest) -> tuple[int, ...]:
    if prod(spec.dims) != 1:
        raise InvalidArgument(
            f"{request.label}For BYTE datatype raw input '{spec.name}', the model must have input shape [1]"
        )
    return spec.dims
