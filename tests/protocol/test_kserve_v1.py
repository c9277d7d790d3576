import tracemalloc
from typing import Any

import numpy as np
import orjson
import pytest

from despina.errors import DespinaError
from despina.protocol.kserve_v1 import V1Input, V1Request, predictions, read_request
from despina.protocol.messages import OutputTensor

ONE = {"x": V1Input("FP32", (2,))}
TWO = {"x": V1Input("FP32", (2,)), "t": V1Input("BYTES", (1,)), "o": V1Input("INT8", (1,), optional=True)}


def read(document: Any, inputs: dict[str, V1Input] = ONE, batches: bool = True) -> V1Request:
    return read_request(orjson.dumps(document), "m", inputs, batches)


def tensors(request: V1Request) -> dict[str, tuple[str, tuple[int, ...], Any]]:
    return {item.name: (item.datatype, item.shape, item.data.tolist()) for item in request.infer.inputs}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [[1, 2], [3, 4.5]]},
        {"instances": [{"x": [1, 2]}, {"x": [3, 4.5]}]},
        {"inputs": [[1, 2], [3, 4.5]]},
        {"inputs": {"x": [[1, 2], [3, 4.5]]}},
        {"instances": [[[1, 2]], [[3, 4.5]]]},
    ],
)
def test_rows_and_columns_of_one_input_are_the_same_tensor(document: Any) -> None:
    assert tensors(read(document)) == {"x": ("FP32", (2, 2), [1.0, 2.0, 3.0, 4.5])}


def test_rows_of_several_inputs_are_objects() -> None:
    document = {"instances": [{"x": [1, 2], "t": "a"}, {"x": [3, 4], "t": {"b64": "/w=="}}]}
    assert tensors(read(document, TWO)) == {
        "x": ("FP32", (2, 2), [1.0, 2.0, 3.0, 4.0]),
        "t": ("BYTES", (2, 1), [b"a", b"\xff"]),
    }


def test_a_single_row_fits_a_model_without_a_batch_dimension() -> None:
    assert tensors(read({"instances": [[1, 2]]}, batches=False))["x"][1] == (2,)
    assert tensors(read({"inputs": [1, 2]}, batches=False))["x"][1] == (2,)


def test_shapes_that_differ_in_more_than_ones_are_left_to_the_model() -> None:
    assert tensors(read({"instances": [[1, 2, 3]]}))["x"][1] == (1, 3)


@pytest.mark.parametrize(
    ("document", "inputs", "text"),
    [
        ({}, ONE, "request for model 'm' must have either 'instances' (rows) or 'inputs' (columns), got neither"),
        ([], ONE, "request for model 'm' must have either 'instances' (rows) or 'inputs' (columns), got neither"),
        (
            {"instances": [], "inputs": []},
            ONE,
            "request for model 'm' must have either 'instances' (rows) or 'inputs' (columns), got both",
        ),
        ({"instances": []}, ONE, "'instances' for model 'm' must be a list of at least one row"),
        ({"instances": 5}, ONE, "'instances' for model 'm' must be a list of at least one row"),
        ({"instances": [{"y": 1}]}, ONE, "unexpected inference input 'y' for model 'm'"),
        ({"inputs": {"y": 1}}, ONE, "unexpected inference input 'y' for model 'm'"),
        (
            {"instances": [1]},
            TWO,
            "an instance for model 'm' must be an object with the inputs ['t', 'x'], got a bare value",
        ),
        (
            {"instances": [{"x": [1, 2]}, {"t": "a"}]},
            TWO,
            "instances for model 'm' differ: expected inputs ['x'], got ['t']",
        ),
        ({"instances": [[1, 2], [3]]}, ONE, "input 'x' for model 'm' is not rectangular: rows differ in length"),
        ({"instances": [["a", "b"]]}, ONE, "input 'x' for model 'm' expects FP32 values"),
        ({"instances": [[None, 1]]}, ONE, "input 'x' for model 'm' expects FP32 values"),
        ({"instances": [{"o": 300}]}, TWO, "input 'o' for model 'm' has values that INT8 cannot hold"),
        ({"instances": [{"o": 1.5}]}, TWO, "input 'o' for model 'm' expects INT8 values"),
        ({"instances": [{"t": 5}]}, TWO, "input 't' for model 'm' expects strings, or objects {\"b64\": \"...\"}"),
        (
            {"instances": [{"t": {"b64": "!"}}]},
            TWO,
            "input 't' for model 'm' expects strings, or objects {\"b64\": \"...\"}",
        ),
    ],
)
def test_what_is_wrong_is_said(document: Any, inputs: dict[str, V1Input], text: str) -> None:
    with pytest.raises(DespinaError) as error:
        read(document, inputs)
    assert (error.value.status, error.value.message) == (400, text)


A = OutputTensor("a", "FP32", np.array([[0.5, 1.0], [2.0, 3.0]], np.float32))
B = OutputTensor("b", "BYTES", np.array([b"x", b"y"], object))


@pytest.mark.parametrize(
    ("document", "outputs", "expected"),
    [
        ({"instances": [[1, 2], [3, 4]]}, [A], [[0.5, 1.0], [2.0, 3.0]]),
        ({"instances": [[1, 2], [3, 4]]}, [A, B], [{"a": [0.5, 1.0], "b": "x"}, {"a": [2.0, 3.0], "b": "y"}]),
        ({"inputs": [[1, 2], [3, 4]]}, [A], [[0.5, 1.0], [2.0, 3.0]]),
        ({"inputs": [[1, 2], [3, 4]]}, [A, B], {"a": [[0.5, 1.0], [2.0, 3.0]], "b": ["x", "y"]}),
    ],
)
def test_predictions_have_the_form_of_the_request(document: Any, outputs: list[OutputTensor], expected: Any) -> None:
    assert predictions(read(document), outputs, True) == {"predictions": expected}


def test_the_one_row_of_a_model_without_a_batch_dimension_is_one_prediction() -> None:
    request = read({"instances": [[1, 2]]}, batches=False)
    half = OutputTensor("h", "FP16", np.array([0.5], np.float16))
    brain = OutputTensor("h", "BF16", np.array([0x3F80], np.uint16))
    assert predictions(request, [half], False) == {"predictions": [[0.5]]}
    assert predictions(request, [brain], False) == {"predictions": [[1.0]]}


def test_integers_on_both_sides_of_2_to_the_63_stay_what_they_are() -> None:
    large = {"x": V1Input("UINT64", (2,))}
    assert tensors(read({"instances": [[1, 1 << 63], [2, 3]]}, large))["x"][2] == [1, 1 << 63, 2, 3]


def test_what_is_no_base64_is_the_clients_error() -> None:
    with pytest.raises(DespinaError, match="expects strings"):
        read({"instances": [{"b64": "\u1234"}]}, {"x": V1Input("BYTES", (1,))})


def test_a_text_among_numbers_takes_no_more_than_its_own_room() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DespinaError, match="expects FP32 values"):
            read({"inputs": [1] * 100 + ["a" * 100_000]})
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
