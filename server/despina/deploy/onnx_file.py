"""Is a file an ONNX model?

What must be right before it is stored is the outermost structure: a ModelProto in the wire format of Protocol Buffers
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), whole to its last byte, with a graph and the versions of the
operators. Nodes and weights are skipped by their lengths, so that a large model costs no more than a small one, and
ONNX Runtime, which a registry need not have, reads the rest.
"""

import mmap
from pathlib import Path

from despina.errors import InvalidArgument
from despina_backends.wire import delimited_fields

GRAPH, OPSET_IMPORT = 7, 8
SHOWN_BYTES = 16


def check_onnx_file(path: Path) -> None:
    """Raises InvalidArgument: it is a folder, or not an ONNX model, or not a whole one."""
    if path.is_dir():
        raise InvalidArgument(
            f"model path {path} is a folder; framework Onnx means one .onnx file, "
            "a folder that holds a model repository is framework Multi"
        )
    if problem := _problem(path):
        raise InvalidArgument(f"model path {path} is not an ONNX model: {problem}")


def _problem(path: Path) -> str | None:
    if path.stat().st_size == 0:
        return "it is empty"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            found = {field.number for field in delimited_fields(data)}
        except IndexError:
            return f"it ends in the middle, after {len(data)} bytes; was its download or copy cut off?"
        except ValueError:
            return f"it begins with {data[:SHOWN_BYTES]!r}"
    if GRAPH not in found:
        return "it holds no graph"
    if OPSET_IMPORT not in found:
        return "it does not say the version of its operators; was its download or copy cut off?"
    return None
