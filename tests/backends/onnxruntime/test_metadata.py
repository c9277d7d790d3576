from contextlib import suppress
from dataclasses import dataclass

import pytest

from despina_backends.base import BackendError, TensorMetadata
from despina_backends.onnxruntime.metadata import tensors


@dataclass
class Node:
    name: str
    type: str
    shape: list[int | str | None]


@pytest.mark.parametrize(
    ("onnx_type", "datatype"),
    [
        ("tensor(bool)", "BOOL"),
        ("tensor(uint8)", "UINT8"),
        ("tensor(int64)", "INT64"),
        ("tensor(float16)", "FP16"),
        ("tensor(float)", "FP32"),
        ("tensor(double)", "FP64"),
        ("tensor(string)", "BYTES"),
        ("tensor(bfloat16)", "BF16"),
        ("tensor(float8e4m3fn)", "INVALID"),
    ],
)
def test_datatypes_are_named_as_in_the_protocol(onnx_type: str, datatype: str) -> None:
    assert tensors([Node("X", onnx_type, [])])["X"].datatype == datatype


def test_symbolic_and_unknown_dimensions_are_variable() -> None:
    expected = {"X": TensorMetadata("X", "FP32", (-1, 3, -1)), "S": TensorMetadata("S", "FP32", ())}
    assert tensors([Node("X", "tensor(float)", ["batch", 3, None]), Node("S", "tensor(float)", [])]) == expected


@pytest.mark.parametrize(
    ("onnx_type", "named"),
    [("seq(tensor(float))", "SEQUENCE"), ("map(int64,tensor(float))", "MAP"), ("optional(tensor(float))", "OPTIONAL")],
)
def test_what_is_no_tensor_is_refused(onnx_type: str, named: str) -> None:
    with pytest.raises(BackendError) as caught:
        tensors([Node("S", onnx_type, [])])
    assert (
        caught.value.message == f"Unsupported ONNX Type 'ONNX_TYPE_{named}' for I/O 'S', expected 'ONNX_TYPE_TENSOR'."
    )
    assert caught.value.code == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("onnx_type", "advice"),
    [
        ("seq(map(int64,tensor(float)))", "convert the classifier with zipmap=False"),
        (
            "tensor(float8e4m3fn)",
            "'P' is a tensor(float8e4m3fn), which the protocol has no name for: cast it in the model",
        ),
    ],
)
def test_the_log_says_what_to_do_about_types_that_cannot_be_sent(
    onnx_type: str, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    with suppress(BackendError):
        tensors([Node("P", onnx_type, [])])
    (message,) = caplog.messages
    assert advice in message
