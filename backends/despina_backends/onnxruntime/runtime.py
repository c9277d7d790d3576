"""The one place that imports ONNX Runtime.

The two packages `onnxruntime` and `onnxruntime-gpu` install the same files, so exactly one of them may be there. Its
telemetry is switched off unless the environment has `DESPINA_ORT_TELEMETRY=1`, and its log is silenced: what goes wrong
is raised, and said in the answer to whom it concerns.
"""

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Collection, MutableMapping
from importlib import metadata, util
from types import ModuleType
from typing import Any

from despina_backends.base import BackendError

FATAL = 4
"""ONNX Runtime's log severity above which nothing is ever logged."""

_PACKAGES = ("onnxruntime", "onnxruntime-gpu")


@functools.cache
def load_runtime() -> ModuleType:
    """The module `onnxruntime`, ready for the first session. Raises BackendError unless installed exactly once."""
    packages = installed_packages()
    check_packages(packages, importable=util.find_spec("onnxruntime") is not None)
    prepare_environment(os.environ)
    runtime = importlib.import_module("onnxruntime")
    runtime.set_default_logger_severity(FATAL)
    if "onnxruntime-gpu" in packages:
        # The CUDA libraries that pip installs are not on the loader's path. This only prints when it fails; a session
        # that did not get its GPU is found out when it is created. The standard output is the caller's.
        with contextlib.redirect_stdout(sys.stderr):
            runtime.preload_dlls()
    return runtime


def installed_packages(version: Callable[[str], Any] = metadata.version) -> frozenset[str]:
    """Which of the two packages are installed."""
    found: set[str] = set()
    for name in _PACKAGES:
        try:
            version(name)
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
    return frozenset(found)


def check_packages(packages: Collection[str], *, importable: bool) -> None:
    """Raise BackendError when ONNX Runtime is missing or installed twice. A build under another name is let through."""
    if len(packages) > 1:
        raise BackendError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: "
            "uninstall both, then install despina[cpu] or despina[gpu]",
            "UNAVAILABLE",
        )
    if not importable:
        raise BackendError(
            "ONNX Runtime is not installed: install despina[cpu], or despina[gpu] for NVIDIA GPUs", "UNAVAILABLE"
        )


def prepare_environment(environ: MutableMapping[str, str]) -> None:
    """Set what ONNX Runtime and CUDA read when they are loaded: no telemetry, GPUs counted in PCI order."""
    if environ.get("DESPINA_ORT_TELEMETRY") != "1":
        environ["ORT_DISABLE_TELEMETRY"] = "1"
    environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


@functools.cache
def share_thread_pool(runtime: ModuleType, intra_op: int, inter_op: int) -> None:
    """Make all sessions of the process share one pool of threads (0: as many as ONNX Runtime likes).

    ONNX Runtime allows this once per process, before the first session. Raises BackendError otherwise.
    """
    try:
        runtime.set_global_thread_pool_sizes(intra_op, inter_op)
    except Exception as error:
        raise BackendError(f"unable to set up the global thread pool: {error}") from error
