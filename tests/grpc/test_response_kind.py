"""A response of a known kind is what it would be if it were written in full."""

from typing import Any

import numpy as np
import pytest

from despina.grpc.messages import message_class
from despina.grpc.response_kind import MAX_FRAMES, ResponseKind
from despina.protocol.messages import Parameter
from despina.scheduling.pending import Pending

Response = message_class("ModelInferResponse")


def done(results: dict[str, Any], request_id: str = "", parameters: dict[str, Parameter] | None = None) -> Pending:
    """A request with its results."""
    return Pending({}, 1, lambda _: None, id=request_id, results=results, response_parameters=parameters)


def kind(*outputs: tuple[str, str]) -> ResponseKind:
    return ResponseKind("m", 3, outputs)


def written(kind: ResponseKind, pending: Pending) -> Any:
    pieces = kind.write(pending)
    return None if pieces is None else Response.FromString(b"".join(pieces))


@pytest.mark.parametrize("request_id", ["", "7", "\u00e9", "x" * 300])
def test_a_response_has_all_its_fields(request_id: str) -> None:
    arrays = {"A": np.arange(6, dtype="<f4").reshape(2, 3), "B": np.array([True, False])}
    response = written(kind(("A", "FP32"), ("B", "BOOL")), done(arrays, request_id))
    expected = Response(model_name="m", model_version="3", id=request_id)
    for (name, array), datatype in zip(arrays.items(), ("FP32", "BOOL"), strict=True):
        expected.outputs.add(name=name, datatype=datatype, shape=array.shape)
        expected.raw_output_contents.append(array.tobytes())
    assert response == expected


def test_shapes_are_those_of_each_response() -> None:
    one = kind(("A", "INT8"), ("B", "INT8"))
    for size, other in [(1, 2), (2, 1), (1, 2), (0, 3), (200, 300)]:
        arrays = {"A": np.full((1, size), 1, "i1"), "B": np.full(other, 2, "i1")}
        response = written(one, done(arrays))
        assert [list(output.shape) for output in response.outputs] == [[1, size], [other]]
        assert [len(data) for data in response.raw_output_contents] == [size, other]


def test_shapes_that_come_once_are_forgotten() -> None:
    one = kind(("A", "INT8"))
    for size in range(2 * MAX_FRAMES + 5):
        assert list(written(one, done({"A": np.zeros(size, "i1")})).outputs[0].shape) == [size]
        assert len(one.frames) <= MAX_FRAMES


def test_a_response_with_parameters_is_left_to_others() -> None:
    assert written(kind(("A", "INT8")), done({"A": np.zeros(1, "i1")}, "", {"a": 1})) is None


def test_a_scalar_is_left_to_others() -> None:
    assert written(kind(("A", "INT8"), ("B", "INT8")), done({"A": np.zeros(1, "i1"), "B": np.zeros((), "i1")})) is None
    assert written(kind(("B", "INT8")), done({"B": np.zeros((), "i1")})) is None


@pytest.mark.parametrize("names", [("A",), ("A", "C")])
def test_outputs_that_a_model_leaves_out_are_left_to_others(names: tuple[str, ...]) -> None:
    results = {name: np.zeros(1, "i1") for name in names}
    assert written(kind(("A", "INT8"), ("B", "INT8")), done(results)) is None


def test_outputs_that_nobody_wants_are_not_written() -> None:
    results = {name: np.zeros(1, "i1") for name in ("A", "B", "C")}
    response = written(kind(("C", "INT8"), ("A", "INT8")), done(results))
    assert [output.name for output in response.outputs] == ["C", "A"]


def test_large_data_is_not_copied() -> None:
    array = np.zeros(100_000, "<f8")
    pieces = kind(("A", "FP64")).write(done({"A": array}))
    assert pieces is not None
    assert np.shares_memory(np.frombuffer(pieces[-1], "u1"), array)


def test_data_is_as_it_lies_in_memory_row_by_row() -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3).T
    response = written(kind(("A", "FP32")), done({"A": array}))
    assert list(response.raw_output_contents) == [np.ascontiguousarray(array).tobytes()]
    large = np.zeros((300, 400), "<f4").T
    large[0, 1] = 1
    response = written(kind(("A", "FP32")), done({"A": large}))
    assert list(response.raw_output_contents) == [np.ascontiguousarray(large).tobytes()]
