"""Datatypes: the configuration's spelling (`TYPE_STRING`) and the protocol's (`BYTES`)."""

from typing import Any

from despina.config.proto import model_config_pb2

_DATA_TYPE: Any = model_config_pb2.DataType


def config_name(data_type: int) -> str:
    """`TYPE_FP32` for the enum value of a `data_type` field."""
    name: str = _DATA_TYPE.Name(data_type)
    return name


def protocol_name(data_type: int) -> str:
    """`FP32` for the enum value of a `data_type` field; `BYTES` for TYPE_STRING."""
    return unprefixed(config_name(data_type))


def unprefixed(name: str) -> str:
    """`TYPE_FP32` as the protocol spells it: `FP32`; `TYPE_STRING` is `BYTES`."""
    return "BYTES" if name == "TYPE_STRING" else name.removeprefix("TYPE_")


def data_type(protocol: str) -> int:
    """The enum value for a protocol name; TYPE_INVALID (0) for a type the protocol does not know."""
    name = "TYPE_STRING" if protocol == "BYTES" else f"TYPE_{protocol}"
    # Why the noqa: protobuf's wrapper of an enum has keys() but no `in`.
    value: int = _DATA_TYPE.Value(name) if name in _DATA_TYPE.keys() else _DATA_TYPE.Value("TYPE_INVALID")  # noqa: SIM118
    return value
