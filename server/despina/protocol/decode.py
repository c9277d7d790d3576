"""An infer request body into an InferRequest (protocol §2.2 to §2.10).

The checks run in the order of the real server, because the first error wins and clients match on its text. Binary
tensors stay views of the body. What needs the model (names, datatypes, shapes) is checked at admission.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from despina.errors import AlreadyExists, InvalidArgument, NotFound
from despina.protocol.fields import cut_at_nul, read_field, read_member
from despina.protocol.garbage_collector import collector_rests
from despina.protocol.json import Json, as_array, as_bool, as_string, as_unsigned
from despina.protocol.json_input import json_input
from despina.protocol.messages import InferInput, InferRequest, RequestedOutput
from despina.protocol.parameters import read_parameters
from despina.protocol.request_document import parse_document
from despina.shared_memory.window import SharedMemory, Window

UINT32_MAX = (1 << 32) - 1
INT32_RANGE = (-(1 << 31), (1 << 31) - 1)
_PLACE = frozenset({"shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"})

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


@lru_cache(maxsize=256)
def header_length(value: str, body_size: int) -> int:
    """Length of the JSON part from `Inference-Header-Content-Length`."""
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


@collector_rests
def decode_request(body: memoryview, length: int, context: Context) -> InferRequest:
    """Decode a body whose first `length` bytes are JSON; 0 means a raw request (protocol §2.8), which carries nothing
    but the bytes of its single input. Raises DespinaError."""
    if length == 0:
        return _raw_request(body, context.limits)
    check_json_size(length, context.limits)
    document = parse_document(body[:length])
    request = InferRequest()
    if isinstance(document, dict):
        if "id" in document:
            request.id = cut_at_nul(read_field("id", as_string, document["id"]))
        if "parameters" in document:
            read_parameters(document["parameters"], request)
    _read_inputs(document, body[length:], request, context)
    if "outputs" in document:
        _read_outputs(document["outputs"], request, context)
    return request


def _raw_request(body: memoryview, limits: Limits) -> InferRequest:
    if len(body) > limits.max_input_size:
        raise InvalidArgument(
            f"Raw input has a byte_size ({len(body)} bytes) that exceeds the maximum allowed value of "
            f"{limits.max_input_size} bytes. Use --http-max-input-size to increase the limit."
        )
    return InferRequest(inputs=[InferInput("raw_input", "", (), body)], raw=True, binary_output=True)


# -------------------------------------------------------------------------------------------------------- inputs


def _read_inputs(document: Json, blob: memoryview, request: InferRequest, context: Context) -> None:
    entries = read_member("inputs", as_array, document)
    names: set[str] = set()
    position = 0
    for entry in entries:
        source = _data_source(entry)
        name, datatype, shape = _describe(entry)
        if name in names:
            raise AlreadyExists(f"{request.label}input '{name}' already exists in request")
        names.add(name)
        if source == "binary_data_size":
            size = read_field(source, as_unsigned, entry["parameters"][source])
            if position + size > len(blob):
                raise InvalidArgument(
                    f"unexpected size for input '{name}', expecting {position + size - len(blob)} additional bytes "
                    f"for model '{context.model}'"
                )
            data: memoryview = blob[position : position + size]
            position += size
            request.inputs.append(InferInput(name, datatype, shape, data))
        elif (place := _shared_memory(_parameters(entry))) is not None:
            request.inputs.append(InferInput(name, datatype, shape, context.find_region(place)))
        else:
            request.inputs.append(json_input(entry["data"], name, datatype, shape, context.limits.max_input_size))
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
    name = cut_at_nul(read_member("name", as_string, entry))
    datatype = cut_at_nul(read_member("datatype", as_string, entry))
    shape = read_member("shape", as_array, entry)
    return name, datatype, read_field("shape", _dims, shape)


def _dims(shape: list[Json]) -> tuple[int, ...]:
    return tuple([as_unsigned(dim) for dim in shape])


def _parameters(entry: Json) -> dict[str, Json]:
    """Of an input or output; what is no object has none."""
    parameters = entry.get("parameters") if isinstance(entry, dict) else None
    return parameters if isinstance(parameters, dict) else {}


def _shared_memory(parameters: dict[str, Json]) -> SharedMemory | None:
    """`shared_memory_region`, `_offset` and `_byte_size`; the numbers have to be some even without a region."""
    if _PLACE.isdisjoint(parameters):
        return None
    region = cut_at_nul(read_field("shared_memory_region", as_string, parameters.get("shared_memory_region", "")))
    offset = read_field("shared_memory_offset", as_unsigned, parameters.get("shared_memory_offset", 0))
    size = read_field("shared_memory_byte_size", as_unsigned, parameters.get("shared_memory_byte_size", 0))
    return SharedMemory(region, offset, size) if "shared_memory_region" in parameters else None


# ------------------------------------------------------------------------------------------------------- outputs


def _read_outputs(outputs: Json, request: InferRequest, context: Context) -> None:
    names: set[str] = set()
    for entry in read_field("outputs", as_array, outputs):
        parameters = _parameters(entry)
        _check_output(parameters)
        name = cut_at_nul(read_member("name", as_string, entry))
        if name in names:
            raise AlreadyExists(f"{request.label}output '{name}' already exists in request")
        names.add(name)
        request.outputs.append(_read_output(name, parameters, context))


def _check_output(parameters: dict[str, Json]) -> None:
    """Raise when shared memory was asked for together with what does not go there."""
    if "shared_memory_region" not in parameters:
        return
    if "classification" in parameters:
        raise InvalidArgument("Output can't set both 'shared_memory_region' and 'classification'")
    if read_field("binary_data", as_bool, parameters.get("binary_data", False), "set"):
        raise InvalidArgument("Output can't set both 'shared_memory_region' and 'binary_data'")


def _read_output(name: str, parameters: dict[str, Json], context: Context) -> RequestedOutput:
    if not parameters:
        return RequestedOutput(name)
    classes = read_field("classification", as_unsigned, parameters.get("classification", 0), "set")
    place = _shared_memory(parameters)
    if place is not None:
        return RequestedOutput(name, shared_memory=context.find_region(place))
    binary = read_field("binary_data", as_bool, parameters.get("binary_data", False))
    return RequestedOutput(name, binary, classes & UINT32_MAX)


def no_shared_memory(place: SharedMemory) -> Window:
    """A FindRegion for callers that have none."""
    raise NotFound(f"Unable to find shared memory region: '{place.region}'")
