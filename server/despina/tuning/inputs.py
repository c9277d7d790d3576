"""Random requests of one row, by the datatypes and shapes of a configuration."""

from collections.abc import Mapping, Sequence

import numpy as np

from despina.config.datatypes import protocol_name
from despina.config.dims import model_dims
from despina.config.proto import Message, ModelConfig
from despina.errors import InvalidArgument
from despina.protocol.datatypes import DATATYPES
from despina_backends.base import Array, Batch

Shapes = Mapping[str, Sequence[int]]


def random_row(config: ModelConfig, shapes: Shapes) -> dict[str, Array]:
    """One request of one row, as the model takes it: with a batch dimension of 1 where `config` (completed) has one.

    `shapes` gives the dimensions (without the batch) of inputs with variable ones. Optional inputs are left out.
    Numbers are drawn from [0, 1), integers are 0 or 1, because larger ones may be indices into something small.
    Raises InvalidArgument for dimensions that are missing, do not fit, or are too large or too many.
    """
    known = [item.name for item in config.input]
    if unknown := sorted(set(shapes) - set(known)):
        raise InvalidArgument(f"model '{config.name}' has no input '{unknown[0]}'; its inputs are {', '.join(known)}")
    batch = (1,) if config.max_batch_size > 0 else ()
    rng = np.random.default_rng(0)
    row: dict[str, Array] = {}
    for item in config.input:
        if item.optional:
            continue
        shape = (*batch, *_dims(config.name, item, shapes.get(item.name)))
        try:
            row[item.name] = _values(item, shape, rng)
        except (MemoryError, ValueError) as error:
            raise InvalidArgument(
                f"model '{config.name}': input '{item.name}': expected a shape to make a row of, got {list(shape)}: "
                f"{error}"
            ) from None
    return row


def make_batch(row: Mapping[str, Array], rows: int, *, batches: bool) -> Batch:
    """As many requests of one row, which is how they come; for a model without batch dimension just the one."""
    parts = {name: [tensor] * (rows if batches else 1) for name, tensor in row.items()}
    return Batch(inputs=parts, rows=rows if batches else 0)


def _dims(model: str, item: Message, given: Sequence[int] | None) -> tuple[int, ...]:
    declared = model_dims(item)
    if given is None and -1 not in declared:
        return declared
    if given is None:
        example = ",".join("8" if dim < 0 else str(dim) for dim in declared)
        raise InvalidArgument(
            f"model '{model}': input '{item.name}' has the variable shape {list(declared)}: say which one to measure, "
            f"for example --shape {item.name}:{example}"
        )
    fits = len(given) == len(declared) and all(d in (-1, g) for d, g in zip(declared, given, strict=True))
    if not fits:
        raise InvalidArgument(
            f"model '{model}': input '{item.name}': expected a shape that fits {list(declared)}, got {list(given)}"
        )
    return tuple(given)


def _values(item: Message, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    datatype = protocol_name(item.data_type)
    dtype = DATATYPES[datatype].dtype
    if datatype == "BYTES":
        return np.full(shape, b"1", dtype=object)
    if datatype == "BF16":
        return (rng.random(shape, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return (rng.random(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)).astype(dtype)
