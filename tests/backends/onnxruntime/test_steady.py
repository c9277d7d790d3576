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


@pytest.mark.parametrize(
    ("operator", "domain", "steady"),
    [
        *((name, "ai.onnx.ml", True) for name in ("Scaler", "LinearClassifier", "TreeEnsembleClassifier")),
        *((name, "ai.onnx.ml", False) for name in ("LabelEncoder", "CategoryMapper", "ZipMap")),
        *((name, "com.microsoft", False) for name in ("Scaler", "Tokenizer")),
    ],
)
def test_classical_models_are_steady_where_shapes_decide(
    tmp_path: Path, operator: str, domain: str, steady: bool
) -> None:
    rows = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    node = helper.make_node(operator, ["x"], ["y"], domain=domain)
    onnx.save(helper.make_model(helper.make_graph([node], "g", [rows], [result])), tmp_path / "model.onnx")
    assert is_steady(tmp_path / "model.onnx") is steady
