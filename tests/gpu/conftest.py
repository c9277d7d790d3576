"""Tests on a real GPU. Elsewhere they are collected and skipped, with the reason."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from despina_backends import onnxruntime
from despina_backends.base import BackendError
from despina_backends.onnxruntime.cuda import Cudart, device_count, missing_libraries, open_cudart
from despina_backends.onnxruntime.runtime import load_runtime

CUDA = "CUDAExecutionProvider"
VISIBLE = "CUDA_VISIBLE_DEVICES"
GIVEN = os.environ.get(VISIBLE)
compute_capabilities = onnxruntime.compute_capabilities


def why_not() -> str | None:
    """The reason why nothing can run on a GPU here."""
    try:
        runtime: Any = load_runtime()
    except BackendError as error:
        return error.message
    if CUDA not in runtime.get_available_providers():
        return f"onnxruntime {runtime.__version__} is a build without {CUDA}"
    if missing := missing_libraries(runtime.cuda_version):
        return f"missing for CUDA {runtime.cuda_version}: {', '.join(missing)}"
    cudart = open_cudart(runtime.cuda_version)
    if cudart is None or not device_count(cudart):
        return "no GPU is visible"
    return None


REASON = why_not()
"""Found out before any test runs: CUDA counts the GPUs of a process once, and other tests hide them."""


@pytest.fixture(autouse=True)
def _needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE) if GIVEN is None else monkeypatch.setenv(VISIBLE, GIVEN)
    monkeypatch.setattr(onnxruntime, "compute_capabilities", compute_capabilities)
    if REASON is not None:
        pytest.skip(REASON)


@pytest.fixture
def cudart() -> Cudart:
    found = open_cudart(load_runtime().cuda_version)
    assert found is not None
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """Writes model `m`, as ONNX's text form, with a configuration; the repository."""

    def write(graph: str, config: str, weights: dict[str, np.ndarray] | None = None) -> Path:
        model = parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {graph}')
        for name, array in (weights or {}).items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        version = tmp_path / "models" / "m" / "1"
        version.mkdir(parents=True)
        onnx.save(model, version / "model.onnx")
        (version.parent / "config.pbtxt").write_text(config)
        return tmp_path / "models"

    return write
