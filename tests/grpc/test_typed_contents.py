"""Typed contents are what the same numbers and texts are as raw bytes."""

from typing import Any

import numpy as np
import pytest
from tests.support.infer_messages import tensor

from despina.errors import InvalidArgument
from despina.grpc.typed_contents import typed_contents


def read(datatype: str, contents: dict[str, Any]) -> Any:
    return typed_contents(tensor("x", datatype, [1], contents), datatype, "m")


@pytest.mark.parametrize(
    ("datatype", "field", "elements", "expected"),
    [
        ("BOOL", "bool", [True, False, True], np.array([1, 0, 1], "?")),
        ("INT8", "int", [1, -1, 300, -129], np.array([1, -1, 44, 127], "i1")),
        ("INT16", "int", [1, -1, 70000], np.array([1, -1, 4464], "<i2")),
        ("INT32", "int", [1, -(1 << 31)], np.array([1, -(1 << 31)], "<i4")),
        ("INT64", "int64", [1, -(1 << 63)], np.array([1, -(1 << 63)], "<i8")),
        ("UINT8", "uint", [255, 256], np.array([255, 0], "u1")),
        ("UINT16", "uint", [65537], np.array([1], "<u2")),
        ("UINT32", "uint", [(1 << 32) - 1], np.array([(1 << 32) - 1], "<u4")),
        ("UINT64", "uint64", [(1 << 64) - 1], np.array([(1 << 64) - 1], "<u8")),
        ("FP32", "fp32", [0.5, float("inf"), float("nan")], np.array([0.5, np.inf, np.nan], "<f4")),
        ("FP64", "fp64", [0.1, 1e300], np.array([0.1, 1e300], "<f8")),
        ("FP64", "fp64", [0.25] * 40, np.full(40, 0.25, "<f8")),
    ],
)
def test_numbers(datatype: str, field: str, elements: list[Any], expected: Any) -> None:
    array = read(datatype, {field: elements})
    assert array.dtype == expected.dtype
    assert array.tobytes() == expected.tobytes()
    assert array.flags.aligned


def test_texts_are_bytes() -> None:
    array = read("BYTES", {"bytes": [b"a\0\xff", b""]})
    assert (array.dtype, array.tolist()) == (np.dtype(object), [b"a\0\xff", b""])


@pytest.mark.parametrize("datatype", ["FP32", "BYTES", "FP16", "FP33"])
def test_no_elements_are_no_bytes(datatype: str) -> None:
    assert read(datatype, {}) == memoryview(b"")


def test_what_a_later_version_of_the_protocol_adds_is_no_data() -> None:
    made = tensor("x", "FP32", [2], {"fp32": [1.0, 2.0]})
    made.contents.MergeFromString(b"\xa2\x06\x04abcd")
    assert np.asarray(typed_contents(made, "FP32", "m")).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("datatype", "contents", "why"),
    [
        ("FP32", {"int": [1]}, " of type 'INT32', expected datatype 'FP32'"),
        ("FP32", {"uint": [1]}, " of type 'UINT32', expected datatype 'FP32'"),
        ("FP16", {"fp32": [1.0]}, " of type 'FP32', expected datatype 'FP16'"),
        ("INT8", {"int64": [1]}, " of type 'INT64', expected datatype 'INT8'"),
        ("UINT8", {"int": [1]}, " of type 'INT32', expected datatype 'UINT8'"),
        ("BOOL", {"bytes": [b"a"]}, " of type 'BYTES', expected datatype 'BOOL'"),
        ("FP33", {"fp64": [1.0]}, " of type 'FP64', expected datatype '<invalid>'"),
        # The fields are looked at in the order of their numbers.
        ("FP32", {"fp32": [1.0], "bool": [True]}, " of type 'BOOL', expected datatype 'FP32'"),
        ("FP32", {"fp32": [1.0], "bytes": [b""]}, ", binary data was already supplied."),
    ],
)
def test_contents_of_another_datatype(datatype: str, contents: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(datatype, contents)
    assert refused.value.message == f"unexpected explicit tensor data for input tensor 'x' for model 'm'{why}"
