"""Models are written inline in ONNX's text form, one graph each."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import parser


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[[str], Path]:
    def write(graph: str) -> Path:
        model = parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {graph}')
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path

    return write
