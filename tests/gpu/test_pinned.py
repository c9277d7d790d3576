"""Staging buffers are page-locked, so that the GPU copies them by itself."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from despina_backends.base import Batch, Device, LoadOptions
from despina_backends.onnxruntime import backend as module
from despina_backends.onnxruntime import load
from despina_backends.onnxruntime.cuda import PinnedMemory

pytestmark = pytest.mark.gpu


def is_pinned(cudart: Any, address: int) -> bool:
    flags = ctypes.c_uint()
    return int(cudart.cudaHostGetFlags(ctypes.byref(flags), ctypes.c_void_p(address))) == 0


def test_pinned_memory_is_what_the_driver_says_it_is(cudart: Any) -> None:
    memory = PinnedMemory(cudart)
    array = memory.bytes(1 << 20)
    try:
        assert is_pinned(cudart, array.ctypes.data)
        array[:] = 3
        assert int(array.sum()) == 3 << 20
    finally:
        del array
        memory.close()


@pytest.mark.parametrize("rows", [1, 4])
def test_batches_are_gathered_in_pinned_memory(
    cudart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    made: list[Any] = []

    class Remembering(PinnedMemory):
        def bytes(self, count: int) -> Any:
            made.append(super().bytes(count))
            return made[-1]

    monkeypatch.setattr(module, "PinnedMemory", Remembering)
    graph = "g (float[N,9] x) => (float[N,9] y) { y = Neg(x) }"
    onnx.save(parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {graph}'), tmp_path / "model.onnx")
    backend = load(LoadOptions("m", tmp_path, 4, cpu_instance_count=0))
    instance = backend.instance(Device("GPU", 0))
    part = np.ones((1, 9), np.float32)
    assert instance.execute(Batch({"x": [part] * rows}, rows)).outputs["y"].tolist() == [[-1.0] * 9] * rows
    blocks = [block for block in made if block.size]
    # One for the input and one for the output.
    assert len(blocks) == 2
    assert all(is_pinned(cudart, block.ctypes.data) for block in blocks)
    blocks.clear()
    made.clear()
    instance.close()
    backend.close()
