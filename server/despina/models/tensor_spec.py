"""One input or output of a model, as its configuration describes it."""

from dataclasses import dataclass

from despina.config.datatypes import protocol_name
from despina.config.proto import Message
from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.messages import Array


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: `dims` as clients see them, `reshape` as the model sees them (None when alike), both without
    the batch dimension; -1 is variable."""

    name: str
    datatype: Datatype
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None
    optional: bool = False
    ragged: bool = False

    @property
    def is_variable(self) -> bool:
        return -1 in self.dims

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether `shape`, without the batch dimension, fits the dims."""
        dims = self.dims
        if len(shape) != len(dims):
            return False
        # Most dims are all fixed or all variable.
        return (
            shape == dims
            or dims.count(-1) == len(dims)
            or all(want in (-1, got) for want, got in zip(dims, shape, strict=True))
        )

    def model_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A client's shape as the model takes it."""
        return shape if self.reshape is None else _fill(self.reshape, self.dims, shape)

    def to_client(self, array: Array, batches: bool) -> Array:
        """A model's output as the client sees it. A scalar takes the shape of the dims, which then are all 1."""
        if array.ndim == 0:
            return array.reshape((1,) * len(self.dims))
        if self.reshape is None:
            return array
        batch = array.shape[:1] if batches else ()
        return array.reshape(batch + _fill(self.dims, self.reshape, array.shape[len(batch) :]))


def _fill(template: tuple[int, ...], pattern: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """`template` with its -1 replaced, left to right, by the values of `shape` where `pattern` has -1."""
    variable = iter([got for want, got in zip(pattern, shape, strict=True) if want == -1])
    return tuple(next(variable) if dim == -1 else dim for dim in template)


def input_spec(item: Message) -> TensorSpec:
    """The spec of a `ModelInput`."""
    return TensorSpec(
        item.name, _datatype(item), tuple(item.dims), _reshape(item), item.optional, item.allow_ragged_batch
    )


def output_spec(item: Message) -> TensorSpec:
    """The spec of a `ModelOutput`."""
    return TensorSpec(item.name, _datatype(item), tuple(item.dims), _reshape(item))


def _datatype(item: Message) -> Datatype:
    return DATATYPES[protocol_name(item.data_type)]


def _reshape(item: Message) -> tuple[int, ...] | None:
    return tuple(item.reshape.shape) if item.HasField("reshape") else None
