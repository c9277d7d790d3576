"""The parameters of an infer request: those that the protocol knows, and the client's own (protocol §2.4)."""

from despina.errors import Internal, InvalidArgument, Unsupported
from despina.protocol.fields import cut_at_nul, read_field
from despina.protocol.json import Json, as_bool, as_string, as_unsigned, encode_string
from despina.protocol.messages import InferRequest, Parameter

MAX_CORRELATION_ID_LENGTH = 128


def read_parameters(parameters: Json, request: InferRequest) -> None:
    """Enter the parameters of a request into it. Raises Internal, InvalidArgument, Unsupported."""
    if not isinstance(parameters, dict):
        raise Internal("failed to get request params.: attempt to get members for non-object")
    for key, value in parameters.items():
        _read_parameter(cut_at_nul(key), value, request)


def _read_parameter(key: str, value: Json, request: InferRequest) -> None:
    if key == "sequence_id":
        request.correlation_id = _correlation_id(value)
    elif key == "sequence_start":
        request.sequence_start = read_field(key, as_bool, value)
    elif key == "sequence_end":
        request.sequence_end = read_field(key, as_bool, value)
    elif key == "priority":
        request.priority = read_field(key, as_unsigned, value)
    elif key == "timeout":
        request.timeout_us = read_field(key, as_unsigned, value)
    elif key == "binary_data_output":
        request.binary_output = read_field(key, as_bool, value)
    elif key.startswith("triton_"):
        raise InvalidArgument(
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
        )
    else:
        request.parameters[key] = custom_parameter(key, value)


def custom_parameter(key: str, value: Json) -> Parameter:
    """A parameter of the client's own: string, integer, boolean or number."""
    if not isinstance(value, bool | int | float | str):
        raise InvalidArgument(f"parameter '{key}' has invalid type. It should be either 'int', 'bool', or 'string'.")
    return value


def _correlation_id(value: Json) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value
    return text_correlation_id(read_field("sequence_id", as_string, value))


def text_correlation_id(text: str) -> str:
    """A correlation id that is text, as it is. Raises Unsupported when it is too long."""
    if len(encode_string(text)) > MAX_CORRELATION_ID_LENGTH:
        raise Unsupported(f"string correlation ID cannot be longer than {MAX_CORRELATION_ID_LENGTH} characters")
    return text
