"""TensorRT's libraries, where pip installed them.

ONNX Runtime's provider is linked with them but does not bring them, and `onnxruntime.preload_dlls` knows CUDA and cuDNN
only. The packages `tensorrt-cu12` and `tensorrt-cu13` put them into a folder that is not on the loader's path, so they
are opened from there before a session asks for them by name. Checked so far only with doubles of the libraries.
"""

import ctypes
from collections.abc import Callable, Sequence
from importlib import util
from pathlib import Path

from despina_backends.onnxruntime.cuda import opens

REQUIRED = ("libnvinfer.so.10", "libnvonnxparser.so.10")
"""What the provider is linked with, in the order in which they need each other."""

PACKAGE = "tensorrt_libs"


def package_folder() -> Path | None:
    """Where pip put the libraries; None without such a package."""
    found = util.find_spec(PACKAGE)
    places = () if found is None else found.submodule_search_locations or ()
    return next((Path(place) for place in places), None)


def preload(folder: Path | None, open_library: Callable[[str], object] = ctypes.CDLL) -> None:
    """Open all libraries of the folder. Those by which TensorRT builds engines it opens by name, later."""
    if folder is None:
        return
    others = sorted(path.name for path in folder.glob("lib*.so*") if path.name not in REQUIRED)
    for name in (*REQUIRED, *others):
        opens(str(folder / name), open_library)  # `missing` tells of those that are needed and did not.


def missing(open_library: Callable[[str], object] = ctypes.CDLL) -> tuple[str, ...]:
    """Those of `REQUIRED` that the loader does not find."""
    return tuple(name for name in REQUIRED if not opens(name, open_library))


def advice(absent: Sequence[str], cuda_version: str) -> str:
    """What to do about absent libraries, beside a CUDA like "13.0"."""
    package = f"tensorrt-cu{cuda_version.partition('.')[0]}<11"
    return f"missing for TensorRT: {', '.join(absent)}; they come with `pip install '{package}'`"
