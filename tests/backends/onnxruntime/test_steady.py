"""Operators whose work a value decides, however small the tensors are that come with the request."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from despina_backends.onnxruntime.steady import is_steady


@pytest.mark.parametrize(
    "operator",
    [
        *("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", "DFT", "STFT"),
        *("AffineGrid", "CenterCropPad", "Col2Im", "MaxUnpool", "ImageDecoder"),
    ],
)
def test_a_size_that_is_an_input_makes_times_unforeseeable(tmp_path: Path, operator: str) -> None:
    size = helper.make_tensor_value_info("n", TensorProto.INT64, [])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    for name, steady in (("Neg", True), (operator, False)):
        node = helper.make_node(name, ["n"], ["y"])
        onnx.save(helper.make_model(helper.make_graph([node], "g", [size], [result])), tmp_path / "model.onnx")
        assert is_steady(tmp_path / "model.onnx") is steady
