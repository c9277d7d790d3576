"""A configuration as the JSON that `GET v2/models/<m>/config` answers (config §2.5).

Proto field names in declaration order. Scalars, lists and maps always appear, sub-messages and members of a oneof only
when set, enums by name. 64-bit integers are numbers, except in the few fields that tritonserver leaves as the strings
protobuf's JSON makes of them. Floating-point numbers are protobuf's, too: 1, not 1.0.
"""

import json
import math
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]  # ships no types

from despina.config.proto import Field, Message, ModelConfig

Json = Any

STRINGS = frozenset(
    (
        "inference.ModelInstanceGroup.SecondaryDevice.device_id",
        "inference.ModelOptimizationPolicy.Cuda.GraphSpec.Shape.dim",
        "inference.ModelSequenceBatching.InitialState.dims",
    )
)
"""64-bit fields that stay strings."""


def to_json(config: ModelConfig) -> dict[str, Json]:
    """The configuration as a JSON object."""
    return _message(config)


def _message(message: Message) -> dict[str, Json]:
    fields = message.DESCRIPTOR.fields
    return {
        field.name: _field(message, field) for field in fields if not field.has_presence or message.HasField(field.name)
    }


def _field(message: Message, field: Field) -> Json:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        item = field.message_type.fields_by_name["value"]
        return {str(key): _value(value[key], item) for key in sorted(value)}
    if field.is_repeated:
        return [_value(item, field) for item in value]
    return _value(value, field)


def _value(value: Any, field: Field) -> Json:
    if field.message_type is not None:
        return _message(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    if field.full_name in STRINGS:
        return str(value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return _number(value, f"{value:.6g}", f"{value:.9g}", np.float32)
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return _number(value, f"{value:.15g}", f"{value:.17g}", np.float64)
    return value


def _number(value: float, short: str, exact: str, kind: type[np.floating]) -> Json:
    """The short digits where they give the same value: 0.1, not 0.10000000149011612."""
    if not math.isfinite(value):
        return value
    return json.loads(short if kind(short) == kind(value) else exact)
