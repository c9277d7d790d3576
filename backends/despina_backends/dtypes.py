"""The numpy dtypes that the arrays of a tensor have; see `base`."""

import numpy as np

from despina_backends.base import BackendError, TensorMetadata

_DTYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BF16": np.dtype(np.uint16),
    "BYTES": np.dtype(np.object_),
}


def numpy_dtype(tensor: TensorMetadata) -> np.dtype[np.generic]:
    """The dtype of a tensor's arrays. Raises BackendError for a datatype the protocol does not have."""
    if tensor.datatype not in _DTYPES:
        raise BackendError(f"unsupported datatype of tensor '{tensor.name}'")
    return _DTYPES[tensor.datatype]
