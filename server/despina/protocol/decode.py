"""An infer request body into an InferRequest (protocol §2.2 to §2.10).

The checks run in the order of the real server, because the first error wins and clients match on its text. Binary
tensors stay views of the body. What needs the model (names, datatypes, shapes) is checked at admission.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from despina.errors import AlreadyExists, Internal, InvalidArgument, NotFound, Unsupported
from despina.protocol import tensor_data
from despina.protocol.datatypes import DATATYPES
from despina.protocol.json import Json, as_array, as_bool, as_string, as_unsigned, loads, loads_first_wins, member
from despina.protocol.messages import InferInput, InferRequest, Parameter, RequestedOutput, SharedMemory
from despina.shared_memory.window import Window

INT32_RANGE = (-(1 << 31), (1 << 31) - 1)
INT64_MAX = (1 << 63) - 1
MAX_CORRELATION_ID_LENGTH = 128

T = TypeVar("T")

FindRegion = Callable[[SharedMemory], Window]


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_input_size` bounds, in bytes, the JSON of a request and every tensor decoded from it (protocol §2.9)."""

    max_input_size: int = 1 << 26


@dataclass(frozen=True, slots=True)
class Context:
    """What decoding needs to know besides the bytes: the model's name for error texts, the limits, and how to look up
    shared memory."""

    model: str
    limits: Limits
    find_region: FindRegion


def header_length(value: str | None, body_size: int) -> int:
    """Length of the JSON part from `Inference-Header-Content-Length`; the whole body without that header."""
    if value is None:
        return body_size
    if not value:
        return 0
    if len(value) < 10 and value.isascii() and value.isdigit() and int(value) <= body_size:
        return int(value)
    length = _c_integer(value, "Inference-Header-Content-Length")
    if not 0 <= length <= body_size:
        raise InvalidArgument(f"inference header size should be in range (0, {body_size}), got: {value}")
    return length


def content_length(value: str) -> int:
    """The `Content-Length` header, which must fit 32 bits."""
    return _c_integer(value, "Content-Length")


def _c_integer(value: str, header: str) -> int:
    match = re.match(r"\s*([+-]?)0*(\d+)", value, re.ASCII)
    if match is None:
        raise InvalidArgument(f"Unable to parse {header}, got: {value}")
    sign, digits = match.groups()
    low, high = INT32_RANGE
    # Python refuses to read integers of thousands of digits.
    number = int(sign + digits[:11])
    if not low <= number <= high:
        raise InvalidArgument(f"Unable to parse {header}, value is out of range [ {low}, {high} ], got: {value}")
    return number


def check_json_size(size: int, limits: Limits) -> None:
    """Raise InvalidArgument when a body, or the JSON part of one, has more bytes than JSON may have."""
    if size > limits.max_input_size:
        raise InvalidArgument(
            f"request JSON size of {size} bytes exceeds the maximum allowed input size of {limits.max_input_size} "
            "bytes. Use --http-max-input-size to increase the limit."
        )


def decode_request(body: memoryview, length: int, context: Context) -> InferRequest:
    """Decode a body whose first `length` bytes are JSON; 0 means a raw request (protocol §2.8), which carries nothing
    but the bytes of its single input. Raises DespinaError."""
    if length == 0:
        return _raw_request(body, context.limits)
    check_json_size(length, context.limits)
    document = _parse(body[:length])
    request = InferRequest()
    if isinstance(document, dict):
        if "id" in document:
            request.id = cut_at_nul(_field("id", as_string, document["id"]))
        if "parameters" in document:
            _read_parameters(document["parameters"], request)
    _read_inputs(document, body[length:], request, context)
    if "outputs" in document:
        _read_outputs(document["outputs"], request, context)
    return request


def _parse(head: memoryview) -> Json:
    document = loads(head)
    if _repeats_a_key(bytes(head), document):
        return loads_first_wins(head)
    return document


_COUNTED_KEYS = (b'"id"', b'"inputs"', b'"outputs"', b'"datatype"', b'"shape"', b'"data"', b'"name"', b'"parameters"')


def _repeats_a_key(head: bytes, document: Json) -> bool:
    """Whether a key that counts may be there twice. The fast parser would then have kept the last one. A text that
    happens to look like a key only costs a second look."""
    if head.count(b'"') == _quotes(document):
        return False
    inputs = len(_entries(document, "inputs"))
    owners = [document, *_entries(document, "inputs"), *_entries(document, "outputs")]
    parameters = sum([isinstance(owner, dict) and "parameters" in owner for owner in owners])
    limits = (1, 1, 1, inputs, inputs, inputs, len(owners) - 1, parameters)
    return any(head.count(key) > limit for key, limit in zip(_COUNTED_KEYS, limits, strict=True))


def _entries(document: Json, key: str) -> list[Json]:
    entries = document.get(key) if isinstance(document, dict) else None
    return entries if isinstance(entries, list) else []


def _quotes(value: Json) -> int:
    """How many quotation marks the parsed `value` was written with, unless keys were dropped or marks escaped. Lists of
    anything but objects count as lists of numbers: where they hold strings, the count is merely too small."""
    count = 0
    pending = [value]
    while pending:
        value = pending.pop()
        if type(value) is str:
            count += 2
        elif type(value) is dict:
            count += 2 * len(value)
            pending += value.values()
        elif type(value) is list and value and type(value[0]) is dict:
            pending += value
    return count


def _raw_request(body: memoryview, limits: Limits) -> InferRequest:
    if len(body) > limits.max_input_size:
        raise InvalidArgument(
            f"Raw input has a byte_size ({len(body)} bytes) that exceeds the maximum allowed value of "
            f"{limits.max_input_size} bytes. Use --http-max-input-size to increase the limit."
        )
    return InferRequest(inputs=[InferInput("raw_input", "", (), body)], raw=True, binary_output=True)


def cut_at_nul(text: str) -> str:
    """Names and ids end at an embedded NUL, as they do in the real server."""
    return text.split("\0", 1)[0]


def _field(name: str, read: Callable[[Json], T], value: Json) -> T:
    try:
        return read(value)
    except Internal as error:
        raise Internal(f"Unable to parse '{name}': {error.message}") from None


def _member_field(name: str, read: Callable[[Json], T], container: Json) -> T:
    return _field(name, lambda owner: read(member(owner, name)), container)


# ---------------------------------------------------------------------------------------------------- parameters


def _read_parameters(parameters: Json, request: InferRequest) -> None:
    if not isinstance(parameters, dict):
        raise Internal("failed to get request params.: attempt to get members for non-object")
    for key, value in parameters.items():
        _read_parameter(cut_at_nul(key), value, request)


def _read_parameter(key: str, value: Json, request: InferRequest) -> None:
    if key == "sequence_id":
        request.correlation_id = _correlation_id(value)
    elif key == "sequence_start":
        request.sequence_start = _field(key, as_bool, value)
    elif key == "sequence_end":
        request.sequence_end = _field(key, as_bool, value)
    elif key == "priority":
        request.priority = _field(key, as_unsigned, value)
    elif key == "timeout":
        request.timeout_us = _field(key, as_unsigned, value)
    elif key == "binary_data_output":
        request.binary_output = _field(key, as_bool, value)
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
    text = _field("sequence_id", as_string, value)
    if len(text.encode("utf-8", "surrogateescape")) > MAX_CORRELATION_ID_LENGTH:
        raise Unsupported(f"string correlation ID cannot be longer than {MAX_CORRELATION_ID_LENGTH} characters")
    return text


# -------------------------------------------------------------------------------------------------------- inputs


def _read_inputs(document: Json, blob: memoryview, request: InferRequest, context: Context) -> None:
    entries = _member_field("inputs", as_array, document)
    names: set[str] = set()
    position = 0
    for entry in entries:
        source = _data_source(entry)
        name, datatype, shape = _describe(entry)
        if name in names:
            raise AlreadyExists(f"{request.label}input '{name}' already exists in request")
        names.add(name)
        if source == "binary_data_size":
            size = _field(source, as_unsigned, entry["parameters"][source])
            if position + size > len(blob):
                raise InvalidArgument(
                    f"unexpected size for input '{name}', expecting {position + size - len(blob)} additional bytes "
                    f"for model '{context.model}'"
                )
            data: memoryview = blob[position : position + size]
            position += size
            request.inputs.append(InferInput(name, datatype, shape, data))
        elif source == "shared_memory_region":
            window = context.find_region(read_shared_memory(entry["parameters"]))
            request.inputs.append(InferInput(name, datatype, shape, window))
        else:
            request.inputs.append(_json_input(entry["data"], name, datatype, shape, context))
    if position != len(blob):
        raise InvalidArgument(f"unexpected additional input data for model '{context.model}'")


def _data_source(entry: Json) -> str:
    found = []
    if isinstance(entry, dict):
        found = ["data"] if "data" in entry else []
        parameters = entry.get("parameters")
        if isinstance(parameters, dict):
            found += [key for key in ("binary_data_size", "shared_memory_region") if key in parameters]
    if len(found) == 1:
        return found[0]
    but = "set " + " ".join(f"'{key}'" for key in found) if found else "no field is set"
    raise InvalidArgument(
        "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
        f"'shared_memory_region' in 'parameters'. But {but}"
    )


def _describe(entry: Json) -> tuple[str, str, tuple[int, ...]]:
    name = cut_at_nul(_member_field("name", as_string, entry))
    datatype = cut_at_nul(_member_field("datatype", as_string, entry))
    shape = _member_field("shape", as_array, entry)
    return name, datatype, tuple(_field("shape", as_unsigned, dim) for dim in shape)


def read_shared_memory(parameters: Json) -> SharedMemory:
    """`shared_memory_region`, `_offset` and `_byte_size` of an input or output."""
    region = _member_field("shared_memory_region", as_string, parameters)
    offset = _field("shared_memory_offset", as_unsigned, parameters.get("shared_memory_offset", 0))
    size = _field("shared_memory_byte_size", as_unsigned, parameters.get("shared_memory_byte_size", 0))
    return SharedMemory(region, offset, size)


def _json_input(data: Json, name: str, datatype: str, shape: tuple[int, ...], context: Context) -> InferInput:
    count = element_count(name, shape)
    if count == 0:
        return InferInput(name, datatype, shape, memoryview(b""))
    known = DATATYPES.get(datatype)
    size = count * known.size if known else 0
    if size > context.limits.max_input_size:
        raise _too_large(data, name, count, size, context.limits)
    return InferInput(name, datatype, shape, tensor_data.from_json(data, name, datatype, count))


def element_count(name: str, shape: tuple[int, ...]) -> int:
    """Number of elements of a client's shape; an empty shape has none (protocol §2.6)."""
    if any(dim > INT64_MAX for dim in shape):
        raise InvalidArgument(tensor_data.MISMATCH)
    if not shape or 0 in shape:
        return 0
    count = 1
    for dim in shape:
        count *= dim
        # At once: the product of a long shape would take long, and nobody wants it.
        if count > INT64_MAX:
            dims = ",".join(map(str, shape))
            raise InvalidArgument(
                f"invalid shape for input '{name}': shape [{dims}] causes total element count to exceed maximum size "
                f"of {INT64_MAX}"
            )
    return count


def _too_large(data: Json, name: str, count: int, size: int, limits: Limits) -> InvalidArgument:
    """Why a JSON tensor whose shape announces `size` bytes is refused: the limit, unless the data is not even there."""
    if size > INT64_MAX:
        return InvalidArgument(
            f"byte size overflow for input '{name}': element count ({count}) * data type size ({size // count}) "
            f"exceeds maximum allowed size ({INT64_MAX})"
        )
    if isinstance(data, list) and len(tensor_data.flatten(data, "")[0]) != count:
        return InvalidArgument(tensor_data.MISMATCH)
    return InvalidArgument(
        f"JSON input '{name}' has a byte_size ({size} bytes) that exceeds the maximum allowed value of "
        f"{limits.max_input_size} bytes. Use --http-max-input-size to increase the limit."
    )


# ------------------------------------------------------------------------------------------------------- outputs


def _read_outputs(outputs: Json, request: InferRequest, context: Context) -> None:
    names: set[str] = set()
    for entry in _field("outputs", as_array, outputs):
        output = _read_output(entry, context)
        if output.name in names:
            raise AlreadyExists(f"{request.label}output '{output.name}' already exists in request")
        names.add(output.name)
        request.outputs.append(output)


def _read_output(entry: Json, context: Context) -> RequestedOutput:
    name = cut_at_nul(_member_field("name", as_string, entry))
    parameters = entry.get("parameters")
    if not isinstance(parameters, dict):
        return RequestedOutput(name)
    classes = 0
    if "classification" in parameters:
        try:
            classes = as_unsigned(parameters["classification"])
        except Internal as error:
            raise Internal(f"Unable to set 'classification': {error.message}") from None
    if "shared_memory_region" in parameters:
        return _shared_memory_output(name, parameters, classes, context)
    binary = _field("binary_data", as_bool, parameters.get("binary_data", False))
    return RequestedOutput(name, binary, classes)


def _shared_memory_output(name: str, parameters: Json, classes: int, context: Context) -> RequestedOutput:
    place = read_shared_memory(parameters)
    if classes:
        raise InvalidArgument("Output can't set both 'shared_memory_region' and 'classification'")
    if _field("binary_data", as_bool, parameters.get("binary_data", False)):
        raise InvalidArgument("Output can't set both 'shared_memory_region' and 'binary_data'")
    return RequestedOutput(name, shared_memory=context.find_region(place))


def no_shared_memory(place: SharedMemory) -> Window:
    """A FindRegion for callers that have none."""
    raise NotFound(f"Unable to find shared memory region: '{place.region}'")
