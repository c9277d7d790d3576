"""The implicit states that sequences of a model begin with (config §6.1): zeros, or a file from `initial_state/`.

Without an `initial_state` a state begins as zeros, too, its variable dimensions as 1; the real server leaves whatever
was in memory there.
"""

import os
from math import prod
from pathlib import Path

import numpy as np

from despina.config.datatypes import protocol_name
from despina.config.proto import Message, ModelConfig
from despina.errors import Internal, InvalidArgument, Unsupported
from despina.protocol import bytes_tensor
from despina.protocol.datatypes import DATATYPES, Datatype
from despina.protocol.messages import Array
from despina_backends.base import zeros

FOLDER = "initial_state"


def initial_state(config: ModelConfig, state: Message, directory: Path) -> Array:
    """The state of one row, batch dimension included; `directory` is the model's. `config` has been validated.

    Raises InvalidArgument for a file that is too short, Internal for one that cannot be read, Unsupported for one
    elsewhere."""
    datatype = DATATYPES[protocol_name(state.data_type)]
    dims = tuple(max(1, dim) for dim in state.dims)
    flat = None
    for initial in state.initial_state:
        dims = tuple(initial.dims)
        if initial.WhichOneof("state_data") == "data_file":
            flat = _from_file(config, state, datatype, prod(dims), initial.data_file, directory)
    shape = (1, *dims) if config.max_batch_size > 0 else dims
    return zeros(shape, datatype.dtype) if flat is None else flat.reshape(shape)


def _from_file(
    config: ModelConfig, state: Message, datatype: Datatype, elements: int, file: str, directory: Path
) -> Array:
    content = _read(_path(config, state, file, directory))
    if datatype.kind == "bytes":
        return bytes_tensor.decode(memoryview(content), elements, state.input_name, config.name, "")
    expected = elements * datatype.size
    if len(content) < expected:
        # The missing space is the original's, and clients match on the text.
        raise InvalidArgument(
            f"initial_state setting expects {expected} bytes, but the data provided from {file}only has {len(content)} "
            "bytes."
        )
    return np.frombuffer(content, datatype.dtype, elements)


def _path(config: ModelConfig, state: Message, file: str, directory: Path) -> Path:
    # By name only, as for labels: a name may come from a load request.
    relative = os.path.normpath(file)
    if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir:
        raise Unsupported(
            f"initial_state file path '{file}' for state input '{state.input_name}' in model '{config.name}' is "
            "outside model directory"
        )
    return directory / FOLDER / relative


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Internal(f"failed to open text file for read {path}: {error.strerror}") from error
