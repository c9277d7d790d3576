"""The backends of a tritonserver its user has, for the one that no package carries."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.server_process import NotStarted

VARIABLE = "TRITON_BACKEND_DIRECTORY"
LIBRARY = "libtriton_onnxruntime.so"


class _OrtApiBase(ctypes.Structure):
    """As in onnxruntime_c_api.h."""

    _fields_ = (("GetApi", ctypes.c_void_p), ("GetVersionString", ctypes.CFUNCTYPE(ctypes.c_char_p)))


@dataclass(frozen=True, slots=True)
class TritonBackends:
    """A folder with the ONNX Runtime backend, what tritonserver gets as --backend-directory; the version of the ONNX
    Runtime that lies beside it, as in `1.32.0`."""

    directory: Path
    onnxruntime_version: str

    @classmethod
    def named(cls) -> Self:
        """The folder in TRITON_BACKEND_DIRECTORY. Raises NotStarted where that has no ONNX Runtime backend."""
        if not (value := os.environ.get(VARIABLE)):
            raise NotStarted(
                f"its backend comes with no package: set {VARIABLE} to a folder that has onnxruntime/{LIBRARY}; "
                "see benchmarks/README.md"
            )
        directory = Path(value).absolute()
        backend = directory / "onnxruntime"
        if not (backend / LIBRARY).is_file():
            raise NotStarted(f"{VARIABLE}: expected the file {backend / LIBRARY}, and there is none")
        runtimes = sorted(backend.glob("libonnxruntime.so*"))
        if not runtimes:
            raise NotStarted(f"{VARIABLE}: {backend} has no libonnxruntime.so beside {LIBRARY}")
        return cls(directory, _version(runtimes[0]))


def _version(library: Path) -> str:
    try:
        base = ctypes.CDLL(str(library)).OrtGetApiBase
    except (OSError, AttributeError) as error:
        raise NotStarted(f"{VARIABLE}: {library} is no ONNX Runtime: {error}") from None
    base.restype = ctypes.POINTER(_OrtApiBase)
    version: bytes = base().contents.GetVersionString()
    return version.decode()
