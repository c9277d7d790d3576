"""Where in shared memory a tensor of a ModelInferRequest lies, as its parameters say (protocol §7)."""

from despina.grpc.method import Message
from despina.grpc.refusal import refusal
from despina.shared_memory.regions import MAX_UINT64
from despina.shared_memory.window import SharedMemory


def tensor_place(tensor: Message) -> SharedMemory | None:
    """The place of an input or a requested output, None when it is not in shared memory. Raises InvalidArgument."""
    parameters = tensor.parameters
    region = parameters.get("shared_memory_region")
    if region is not None and region.WhichOneof("parameter_choice") != "string_param":
        raise _wrong_kind(tensor, "shared_memory_region", "string_param")
    offset = _number(tensor, "shared_memory_offset", region is not None)
    byte_size = _number(tensor, "shared_memory_byte_size", region is not None)
    if region is None:
        return None
    if byte_size is None:
        raise refusal(
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor "
            f"'{tensor.name}'"
        )
    return SharedMemory(region.string_param, offset or 0, byte_size)


def _number(tensor: Message, key: str, has_region: bool) -> int | None:
    parameter = tensor.parameters.get(key)
    if parameter is None:
        return None
    if not has_region:
        raise refusal(
            f"'{key}' can not be specified without 'shared_memory_region' parameter for tensor '{tensor.name}'"
        )
    if parameter.WhichOneof("parameter_choice") != "int64_param":
        raise _wrong_kind(tensor, key, "int64_param")
    # To the real server, a negative number is one that no region can hold.
    number: int = parameter.int64_param & MAX_UINT64
    return number


def _wrong_kind(tensor: Message, key: str, expected: str) -> Exception:
    return refusal(f"invalid value type for '{key}' parameter for tensor '{tensor.name}', expected {expected}.")
