"""The protocol's datatypes and the numpy dtypes their bytes are read with (protocol §2.11: little-endian, packed)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True, slots=True)
class Datatype:
    """`size` is the number of bytes per element, 0 for BYTES whose elements have none. `dtype` is what arrays of it
    have: BF16 travels as uint16 bits, BYTES as objects that are `bytes`. `kind` says which JSON values it takes."""

    name: str
    dtype: np.dtype[np.generic]
    size: int
    kind: str


def _datatype(name: str, dtype: str, size: int, kind: str) -> tuple[str, Datatype]:
    return name, Datatype(name, np.dtype(dtype), size, kind)


DATATYPES: Mapping[str, Datatype] = MappingProxyType(
    dict(
        [
            _datatype("BOOL", "?", 1, "bool"),
            _datatype("UINT8", "u1", 1, "unsigned"),
            _datatype("UINT16", "<u2", 2, "unsigned"),
            _datatype("UINT32", "<u4", 4, "unsigned"),
            _datatype("UINT64", "<u8", 8, "unsigned"),
            _datatype("INT8", "i1", 1, "signed"),
            _datatype("INT16", "<i2", 2, "signed"),
            _datatype("INT32", "<i4", 4, "signed"),
            _datatype("INT64", "<i8", 8, "signed"),
            _datatype("FP16", "<f2", 2, "half"),
            _datatype("FP32", "<f4", 4, "float"),
            _datatype("FP64", "<f8", 8, "float"),
            _datatype("BF16", "<u2", 2, "half"),
            _datatype("BYTES", "O", 0, "bytes"),
        ]
    )
)
