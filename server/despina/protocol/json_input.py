"""An input whose data came as JSON: its size is checked before any of it is converted (protocol §2.6, §2.9)."""

from despina.errors import InvalidArgument
from despina.protocol import tensor_data
from despina.protocol.datatypes import DATATYPES
from despina.protocol.json import Json
from despina.protocol.messages import InferInput

INT64_MAX = (1 << 63) - 1


def json_input(data: Json, name: str, datatype: str, shape: tuple[int, ...], max_input_size: int) -> InferInput:
    """An input with the elements `data`, of at most `max_input_size` bytes. Raises InvalidArgument, Internal."""
    count = element_count(name, shape)
    if count == 0:
        return InferInput(name, datatype, shape, memoryview(b""))
    elements = tensor_data.elements_of(data)
    known = DATATYPES.get(datatype)
    size = count * known.size if known else 0
    if size > max_input_size:
        raise _too_large(elements, name, count, size, max_input_size)
    array = tensor_data.from_json(elements, name, datatype, count)
    if known and known.kind == "bytes" and (size := tensor_data.serialized_size(array)) > max_input_size:
        raise _over_the_limit(name, size, max_input_size)
    return InferInput(name, datatype, shape, array)


def element_count(name: str, shape: tuple[int, ...]) -> int:
    """Number of elements of a client's shape; an empty shape has none (protocol §2.6)."""
    if shape and max(shape) > INT64_MAX:
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


def _too_large(elements: list[Json], name: str, count: int, size: int, limit: int) -> InvalidArgument:
    """Why a JSON tensor whose shape announces `size` bytes is refused: the limit, unless the data is not even there."""
    if size > INT64_MAX:
        return InvalidArgument(
            f"byte size overflow for input '{name}': element count ({count}) * data type size ({size // count}) "
            f"exceeds maximum allowed size ({INT64_MAX})"
        )
    if len(tensor_data.flatten(elements, "")[0]) != count:
        return InvalidArgument(tensor_data.MISMATCH)
    return _over_the_limit(name, size, limit)


def _over_the_limit(name: str, size: int, limit: int) -> InvalidArgument:
    return InvalidArgument(
        f"JSON input '{name}' has a byte_size ({size} bytes) that exceeds the maximum allowed value of "
        f"{limit} bytes. Use --http-max-input-size to increase the limit."
    )
