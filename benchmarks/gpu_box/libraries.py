"""Where the CUDA libraries lie: in the nvidia packages that torch depends on, or in torch itself.

The loader reads LD_LIBRARY_PATH once, when a process starts; so everything that needs the libraries runs in processes
started with `environment`.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.gpu_box.problem import Problem
from benchmarks.places import HERE

SOURCES = tuple(str(HERE.parent / folder) for folder in ("server", "backends"))
"""Despina itself, which need not be installed there."""

_SONAME = re.compile(r"(?P<name>lib\w+)\.so\.(?P<major>\d+)(\.\d+)*$")


def library_folders(packages: Iterable[str]) -> list[Path]:
    """Folders with libraries of nvidia-* packages and of torch, in the order of the search path."""
    found: list[Path] = []
    for entry in packages:
        folder = Path(entry)
        patterns = ("nvidia/*/lib", "nvidia/lib", "torch/lib")
        found += [path for pattern in patterns for path in sorted(folder.glob(pattern)) if any(path.glob("*.so*"))]
    return list(dict.fromkeys(found))


def majors(folders: Iterable[Path]) -> dict[str, set[int]]:
    """The major versions of each library there."""
    found: dict[str, set[int]] = {}
    for folder in folders:
        for path in folder.glob("lib*.so.*"):
            if match := _SONAME.fullmatch(path.name):
                found.setdefault(match["name"], set()).add(int(match["major"]))
    return found


def check_libraries(folders: Sequence[Path], cuda_major: int) -> None:
    """Raises Problem when packages bring a CUDA of another major version than ONNX Runtime was built for.

    Libraries that are in no package may still be the system's, so nothing is said about those."""
    cudart = majors(folders).get("libcudart", set())
    if cudart and cuda_major not in cudart:
        have = ", ".join(map(str, sorted(cudart)))
        raise Problem(
            f"this onnxruntime-gpu was built for CUDA {cuda_major}, and the packages here bring CUDA {have}: take a "
            f"wheel for CUDA {have} (1.26 and older are for 12, 1.27 and newer for 13)"
        )


def environment(target: Path, folders: Sequence[Path], base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of processes that use the GPU: packages from `target` first, libraries found, no telemetry."""
    return {
        **base,
        "PYTHONPATH": _joined([str(target), *SOURCES], base.get("PYTHONPATH")),
        "LD_LIBRARY_PATH": _joined([str(folder) for folder in folders], base.get("LD_LIBRARY_PATH")),
        "ORT_DISABLE_TELEMETRY": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


def _joined(first: Sequence[str], rest: str | None) -> str:
    return os.pathsep.join([*first, *([rest] if rest else [])])
