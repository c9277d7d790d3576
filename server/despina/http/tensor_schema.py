"""What a model takes and gives as JSON Schema, and a small request to begin with.

Models without a fixed shape say so: a variable dimension is any number, in the example it is 1.
"""

from __future__ import annotations

from math import prod
from typing import Any

from despina.models.signature import Signature
from despina.models.tensor_spec import TensorSpec
from despina.protocol.datatypes import Datatype

Schema = dict[str, Any]

MAX_EXAMPLE_ELEMENTS = 1024
"""An example with more elements than this would be longer than the rest of the document."""

_ANY_OBJECT: Schema = {"type": "object"}
_EXAMPLES: dict[str, object] = {"bool": False, "unsigned": 0, "signed": 0, "float": 0.0, "bytes": "text"}
_TYPES = {"bool": "boolean", "unsigned": "integer", "signed": "integer", "float": "number", "bytes": "string"}


def request_schema(signature: Signature) -> Schema:
    """The JSON part of an infer request to this model."""
    inputs = [_tensor(spec, _dims(spec, signature)) for spec in signature.inputs.values()]
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": _ANY_OBJECT,
            "inputs": _list_of(inputs, len(signature.required)),
            "outputs": {"type": "array", "items": _requested_output(signature)},
        },
    }


def response_schema(name: str, signature: Signature) -> Schema:
    """The JSON part of the answer."""
    outputs = [_tensor(spec, _dims(spec, signature)) for spec in signature.outputs.values()]
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"const": name},
            "model_version": {"type": "string"},
            "parameters": _ANY_OBJECT,
            "outputs": _list_of(outputs, 0),
        },
    }


def request_example(signature: Signature, stateful: bool) -> dict[str, Any] | None:
    """A request the model takes, of zeros; None where JSON cannot carry an input or would be long. `stateful` models
    get a sequence of one request."""
    inputs: list[dict[str, Any]] = []
    for name in signature.required:
        spec = signature.inputs[name]
        shape = [1 if dim == -1 else dim for dim in _full_dims(spec, signature)]
        if spec.datatype.kind == "half" or prod(shape) > MAX_EXAMPLE_ELEMENTS:
            return None
        data = [_EXAMPLES[spec.datatype.kind]] * prod(shape)
        inputs.append({"name": name, "shape": shape, "datatype": spec.datatype.name, "data": data})
    if stateful:
        return {"parameters": {"sequence_id": 1, "sequence_start": True, "sequence_end": True}, "inputs": inputs}
    return {"inputs": inputs}


def _full_dims(spec: TensorSpec, signature: Signature) -> tuple[int, ...]:
    return (-1, *spec.dims) if signature.max_batch_size else spec.dims


def _dims(spec: TensorSpec, signature: Signature) -> Schema:
    variable = {"type": "integer", "minimum": 0}
    if spec.ragged:
        return {"type": "array", "items": variable}
    items = [dict(variable) if dim == -1 else {"const": dim} for dim in _full_dims(spec, signature)]
    if signature.max_batch_size and items:
        items[0] |= {"minimum": 1, "description": f"the batch: up to {signature.max_batch_size} rows"}
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _tensor(spec: TensorSpec, shape: Schema) -> Schema:
    properties: Schema = {"name": {"const": spec.name}, "datatype": {"const": spec.datatype.name}, "shape": shape}
    if spec.datatype.kind != "half":
        properties["data"] = _data(spec.datatype)
    properties["parameters"] = _ANY_OBJECT
    schema = {
        "title": spec.name,
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": properties,
    }
    if spec.optional:
        schema["description"] = "optional"
    return schema


def _data(datatype: Datatype) -> Schema:
    element: Schema = {"type": _TYPES[datatype.kind]}
    if datatype.kind != "bool":
        element["format"] = {"FP32": "float", "FP64": "double", "BYTES": "binary"}.get(
            datatype.name, datatype.name.lower()
        )
    return {
        "type": "array",
        "description": "the elements in row-major order, flat or nested",
        "items": {"anyOf": [element, {"type": "array"}]},
    }


def _list_of(tensors: list[Schema], at_least: int) -> Schema:
    items: Schema | bool = {"oneOf": tensors} if tensors else False
    return {"type": "array", "items": items, "minItems": at_least, "maxItems": len(tensors)}


def _requested_output(signature: Signature) -> Schema:
    name: Schema = {"type": "string", "enum": list(signature.output_order)}
    properties = {"name": name, "parameters": {"$ref": "#/components/schemas/OutputParameters"}}
    return {"type": "object", "required": ["name"], "properties": properties}
