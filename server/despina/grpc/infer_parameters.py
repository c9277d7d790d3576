"""The parameters of a ModelInferRequest: those that the protocol knows, and the client's own (protocol §7)."""

from collections.abc import Mapping

from despina.grpc.method import Message
from despina.grpc.refusal import refusal
from despina.protocol.fields import cut_at_nul
from despina.protocol.messages import InferRequest, Parameter
from despina.protocol.parameters import text_correlation_id
from despina.shared_memory.regions import MAX_UINT64

_EMPTY_FINAL_RESPONSE = "triton_enable_empty_final_response"
_CUSTOM_KINDS = frozenset({"int64_param", "bool_param", "string_param", "double_param"})


def read_parameters(parameters: Mapping[str, Message], request: InferRequest) -> None:
    """Enter parameters, each an InferParameter, into the request. Raises InvalidArgument, Unsupported."""
    for key, parameter in parameters.items():
        _read_parameter(key, parameter, request)


def _read_parameter(key: str, parameter: Message, request: InferRequest) -> None:
    if key == "sequence_id":
        request.correlation_id = _correlation_id(_value(key, parameter, "int64_param", "string_param"))
    elif key == "sequence_start":
        request.sequence_start = _value(key, parameter, "bool_param")
    elif key == "sequence_end":
        request.sequence_end = _value(key, parameter, "bool_param")
    elif key == "priority":
        request.priority = _priority(_value(key, parameter, "int64_param", "uint64_param"))
    elif key == "timeout":
        # Where it is negative, the real server waits for ever, or as good as that.
        request.timeout_us = _value(key, parameter, "int64_param") & MAX_UINT64
    elif key.startswith("triton_"):
        _check_reserved(key, parameter)
    else:
        request.parameters[cut_at_nul(key)] = _custom(key, parameter)


def _value(key: str, parameter: Message, *kinds: str) -> Message:
    """The value of a parameter that may be of these kinds, which are the fields it may be in."""
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in kinds:
        raise refusal(f"invalid value type for '{key}' parameter, expected {' or '.join(kinds)}.")
    return getattr(parameter, kind)


def _correlation_id(value: int | str) -> int | str:
    return text_correlation_id(cut_at_nul(value)) if isinstance(value, str) else value & MAX_UINT64


def _priority(value: int) -> int:
    if value < 0:
        raise refusal("invalid value for 'priority', expected value >= 0.")
    return value


def _check_reserved(key: str, parameter: Message) -> None:
    """Models answer once, so there is no empty final response to enable."""
    if key != _EMPTY_FINAL_RESPONSE:
        raise refusal(
            "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting "
            f"with 'triton_' are allowed: {_EMPTY_FINAL_RESPONSE}"
        )
    _value(key, parameter, "bool_param")


def _custom(key: str, parameter: Message) -> Parameter:
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in _CUSTOM_KINDS:
        raise refusal(f"invalid value type for '{key}' parameter, expected int64_param, bool_param, or string_param.")
    value: Parameter = getattr(parameter, kind)
    return cut_at_nul(value) if isinstance(value, str) else value
