"""What a session says about the tensors of its model."""

import logging
from collections.abc import Iterable
from typing import Protocol

from despina_backends.base import BackendError, TensorMetadata

_log = logging.getLogger(__name__)

UNKNOWN_DATATYPE = "INVALID"
"""Datatype of a tensor the protocol has no name for (FP8, INT4, ...). Such a model cannot be served."""

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
    "tensor(bfloat16)": "BF16",
}
_NON_TENSORS = {
    "seq": "ONNX_TYPE_SEQUENCE",
    "map": "ONNX_TYPE_MAP",
    "optional": "ONNX_TYPE_OPTIONAL",
    "sparse_tensor": "ONNX_TYPE_SPARSETENSOR",
}


class NodeArg(Protocol):
    """ONNX Runtime's description of an input or output. Symbolic and unknown dimensions are no integers."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Iterable[int | str | None]: ...


def tensors(nodes: Iterable[NodeArg], *, optional: bool = False) -> dict[str, TensorMetadata]:
    """Name → metadata, in the order of the session. A scalar has shape (), and so has a tensor of unknown rank.

    Raises BackendError (UNSUPPORTED) for sequences, maps and other types that are no tensors.
    """
    return {node.name: TensorMetadata(node.name, _datatype(node), _shape(node), optional) for node in nodes}


def _datatype(node: NodeArg) -> str:
    kind = node.type.partition("(")[0]
    if kind in _NON_TENSORS:
        if node.type.startswith("seq(map("):
            _log.warning(
                "'%s' is a ZipMap's %s, which cannot be sent: convert the classifier with zipmap=False, in skl2onnx "
                "with options={'zipmap': False}",
                node.name,
                node.type,
            )
        raise BackendError(
            f"Unsupported ONNX Type '{_NON_TENSORS[kind]}' for I/O '{node.name}', expected 'ONNX_TYPE_TENSOR'.",
            "UNSUPPORTED",
        )
    if node.type not in _DATATYPES:
        _log.warning("'%s' is a %s, which the protocol has no name for: cast it in the model", node.name, node.type)
    return _DATATYPES.get(node.type, UNKNOWN_DATATYPE)


def _shape(node: NodeArg) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
