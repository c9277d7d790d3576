"""The wheels unpacked into a folder of their own, so that the environment stays as it is."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.gpu_box.problem import Problem

Call = Callable[[Sequence[str]], int]


def check_environment(version: Callable[[str], object] = metadata.version) -> None:
    """Raises Problem where the CPU package is installed: both bring the module onnxruntime."""
    try:
        version("onnxruntime")
    except metadata.PackageNotFoundError:
        return
    raise Problem(
        "this environment has the package onnxruntime, which hides onnxruntime-gpu: uninstall it, or use an "
        "environment without it"
    )


def install(wheels: Sequence[Path], target: Path, call: Call = subprocess.call) -> None:
    """`pip install --no-deps --target`, without a network, unless these very wheels are there already. Raises Problem
    when pip fails, or when none of them is onnxruntime-gpu."""
    if not any(path.name.startswith("onnxruntime_gpu-") for path in wheels):
        raise Problem(f"none of the wheels is onnxruntime-gpu's: {', '.join(path.name for path in wheels)}")
    stamp = target / "installed.txt"
    listed = "".join(f"{path.name} {path.stat().st_size}\n" for path in wheels)
    if stamp.exists() and stamp.read_text() == listed:
        return
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--upgrade", "--target", str(target)]
    if call([*command, *map(str, wheels)]):
        raise Problem("pip could not install the wheels; what it said is above. Do they fit this Python and platform?")
    stamp.write_text(listed)
