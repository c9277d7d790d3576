from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from despina_backends.base import Array, BackendError, Batch, Device, Instance, LoadOptions, TensorMetadata
from despina_backends.onnxruntime import load
from despina_backends.onnxruntime.instance import RunInstance

Write = Callable[[str], Path]


def cpu_instance(path: Path, **fields: Any) -> Instance:
    instance = load(LoadOptions("m", path, **fields)).instance(Device("CPU"))
    assert isinstance(instance, RunInstance)
    return instance


def test_parts_are_computed_as_one_batch(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float[N,2] X) => (float[N,2] Y) { Y = Neg(X) }"))
    parts: list[Array] = [np.ones((1, 2), np.float32), np.full((2, 2), 3, np.float32)]
    execution = instance.execute(Batch({"X": parts}, rows=3))
    assert execution.outputs["Y"].tolist() == [[-1, -1], [-3, -3], [-3, -3]]
    assert 0 < execution.input_end_ns <= execution.infer_end_ns


def test_outputs_outlive_the_next_execution_and_the_instance(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float[N,2] X) => (float[N,2] Y) { Y = Identity(X) }"))
    outputs = [
        instance.execute(Batch({"X": [np.full((1, 2), v, np.float32), np.full((1, 2), v, np.float32)]}, rows=2))
        for v in (1, 2)
    ]
    instance.close()
    assert [o.outputs["Y"].tolist() for o in outputs] == [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]


def test_output_that_is_an_input_is_no_view_of_it(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float[N,2] X) => (float[N,2] X, float[N,2] Y) { Y = Neg(X) }"))
    part = np.ones((1, 2), np.float32)
    outputs = instance.execute(Batch({"X": [part]}, rows=1)).outputs
    assert outputs["X"].tolist() == [[1, 1]]
    assert not np.shares_memory(outputs["X"], part)


def test_output_that_is_an_input_is_no_view_of_it_where_the_runtime_makes_it_one() -> None:
    class Session:
        def run(self, names: Sequence[str], feed: Mapping[str, Array], _options: object) -> list[Array]:
            return [feed[name] for name in names]

    tensors = {"X": TensorMetadata("X", "FP32", (-1, 2))}
    part = np.ones((1, 2), np.float32)
    outputs = RunInstance(cast(Any, Session()), tensors, tensors).execute(Batch({"X": [part]}, rows=1)).outputs
    assert outputs["X"].tolist() == [[1, 1]]
    assert not np.shares_memory(outputs["X"], part)


def test_only_requested_outputs_come_back(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float[N] X) => (float[N] A, float[N] B) { A = Neg(X)  B = Abs(X) }"))
    x = np.array([-2], np.float32)
    assert list(instance.execute(Batch({"X": [x]}, rows=1)).outputs) == ["A", "B"]
    assert {k: v.tolist() for k, v in instance.execute(Batch({"X": [x]}, 1, ("B",))).outputs.items()} == {"B": [2]}


@pytest.mark.parametrize(
    ("onnx_type", "dtype"),
    [
        ("bool", np.bool_),
        ("uint8", np.uint8),
        ("uint64", np.uint64),
        ("int8", np.int8),
        ("int64", np.int64),
        ("float16", np.float16),
        ("double", np.float64),
    ],
)
def test_datatypes_pass_unchanged(write_model: Write, onnx_type: str, dtype: type[np.generic]) -> None:
    instance = cpu_instance(write_model(f"g ({onnx_type}[N,2] X) => ({onnx_type}[N,2] Y) {{ Y = Identity(X) }}"))
    part = np.array([[0, 1]], dtype)
    output = instance.execute(Batch({"X": [part, part]}, rows=2)).outputs["Y"]
    assert output.dtype == dtype
    assert output.tolist() == [part[0].tolist()] * 2


def test_unaligned_read_only_input_is_accepted(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (double[N,2] X) => (double[N,2] Y) { Y = Neg(X) }"))
    part = np.frombuffer(b"abc" + np.array([1.0, 2.0]).tobytes(), np.float64, offset=3).reshape(1, 2)
    assert instance.execute(Batch({"X": [part]}, rows=1)).outputs["Y"].tolist() == [[-1, -2]]


def test_zero_rows_and_zero_size_run(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float[N,K] X) => (float[N,K] Y) { Y = Neg(X) }"))
    for shape in ((0, 3), (2, 0)):
        output = instance.execute(Batch({"X": [np.empty(shape, np.float32)]}, rows=shape[0])).outputs["Y"]
        assert output.shape == shape


def test_scalar_input_takes_an_array_of_one(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float X) => (float Y) { Y = Neg(X) }"))
    output = instance.execute(Batch({"X": [np.array([4], np.float32)]}, rows=0)).outputs["Y"]
    assert (output.shape, float(output)) == ((), -4)


def test_strings_pass_as_bytes_whatever_they_hold(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (string[N,1] X) => (string[N,1] Y) { Y = Identity(X) }"))
    parts: list[Array] = [np.array([["é".encode()]], object), np.array([[b"\xff\x00\xfe"], [b""]], object)]
    output = instance.execute(Batch({"X": parts}, rows=3)).outputs["Y"]
    assert output.tolist() == [["é".encode()], [b"\xff\x00\xfe"], [b""]]


def test_error_while_running_names_code_and_message_and_the_instance_stays_usable(write_model: Write) -> None:
    graph = "g (int64[N] I) => (float[N] Y) <float[3] T = {1, 2, 3}> { Y = Gather(T, I) }"
    instance = cpu_instance(write_model(graph))
    with pytest.raises(BackendError) as caught:
        instance.execute(Batch({"I": [np.array([9])]}, rows=1))
    assert caught.value.message.startswith("onnx runtime error 2: Non-zero status code returned while running Gather")
    assert caught.value.code == "INTERNAL"
    assert instance.execute(Batch({"I": [np.array([2])]}, rows=1)).outputs["Y"].tolist() == [3]


def test_errors_of_a_run_are_not_logged(write_model: Write, capfd: pytest.CaptureFixture[str]) -> None:
    graph = "g (int64[N] I) => (float[N] Y) <float[3] T = {1, 2, 3}> { Y = Gather(T, I) }"
    parameters = {"memory.enable_memory_arena_shrinkage": "cpu:0"}
    for instance in (cpu_instance(write_model(graph)), cpu_instance(write_model(graph), parameters=parameters)):
        with pytest.raises(BackendError):
            instance.execute(Batch({"I": [np.array([9])]}, rows=1))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize(
    ("inputs", "text", "code"),
    [
        ({}, "onnx runtime error 1: missing inputs: expected also X", "INTERNAL"),
        ({"X": (1, 2), "Z": (1, 2)}, "Failed to retrieve the ONNX input tensor info from 'Z'.", "INVALID_ARG"),
    ],
)
def test_wrong_input_names_are_refused(
    write_model: Write, inputs: dict[str, tuple[int, ...]], text: str, code: str
) -> None:
    instance = cpu_instance(write_model("g (float[N,2] X) => (float[N,2] Y) { Y = Neg(X) }"))
    arrays: dict[str, list[Array]] = {name: [np.zeros(shape, np.float32)] for name, shape in inputs.items()}
    with pytest.raises(BackendError) as caught:
        instance.execute(Batch(arrays, rows=1))
    assert (caught.value.message, caught.value.code) == (text, code)


def test_parts_of_different_shapes_are_refused(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float[N,K] X) => (float[N,K] Y) { Y = Neg(X) }"))
    parts: list[Array] = [np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)]
    with pytest.raises(BackendError, match="inputs do not make a batch of 2 rows"):
        instance.execute(Batch({"X": parts}, rows=2))


def test_initializer_that_is_an_input_may_be_overridden(write_model: Write) -> None:
    graph = "g (float[N] X, float[1] B = {10}) => (float[N] Y) { Y = Add(X, B) }"
    path = write_model(graph)
    backend = load(LoadOptions("m", path))
    assert (list(backend.inputs), list(backend.initializers)) == (["X"], ["B"])
    assert backend.initializers["B"].optional
    instance = backend.instance(Device("CPU"))
    x = np.array([1], np.float32)
    assert instance.execute(Batch({"X": [x]}, rows=1)).outputs["Y"].tolist() == [11]
    assert instance.execute(Batch({"X": [x], "B": [x]}, rows=1)).outputs["Y"].tolist() == [2]


def test_closed_instance_refuses(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (float[N] X) => (float[N] Y) { Y = Neg(X) }"))
    instance.close()
    with pytest.raises(BackendError):
        instance.execute(Batch({"X": [np.zeros(1, np.float32)]}, rows=1))


STRINGS = "g (string[N,1] X, string[N,1] Y) => (string[N,1] A, string[N,1] B) { A = Identity(X)  B = Identity(Y) }"


def column(*elements: object) -> Array:
    return np.fromiter(elements, np.object_, len(elements)).reshape(-1, 1)


def test_texts_come_back_as_texts(write_model: Write) -> None:
    instance = cpu_instance(write_model(STRINGS))
    batch = Batch({"X": [column("a"), column("\u00e9", "")], "Y": [column("b"), column("c", "\0")]}, rows=3)
    outputs = instance.execute(batch).outputs
    assert outputs["A"].tolist() == [["a"], ["\u00e9"], [""]]
    assert outputs["B"].tolist() == [["b"], ["c"], ["\0"]]


@pytest.mark.parametrize("odd", [b"c", b"\xff"])
def test_bytes_come_back_where_some_requests_of_a_batch_have_texts(write_model: Write, odd: bytes) -> None:
    instance = cpu_instance(write_model(STRINGS))
    batch = Batch({"X": [column("\u00e9"), column(b"b")], "Y": [column("x"), column(odd)]}, rows=2)
    outputs = instance.execute(batch).outputs
    assert outputs["A"].tolist() == [["\u00e9".encode()], [b"b"]]
    assert outputs["B"].tolist() == [[b"x"], [odd]]


def test_texts_without_elements_come_back_as_bytes(write_model: Write) -> None:
    instance = cpu_instance(write_model("g (string[N,M] X) => (string[N,M] Y) { Y = Identity(X) }"))
    assert instance.execute(Batch({"X": [np.empty((1, 0), object)]}, rows=1)).outputs["Y"].shape == (1, 0)
