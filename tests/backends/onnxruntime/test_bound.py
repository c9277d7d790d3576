"""On the CPU provider, with ordinary memory: everything but the copies to a GPU is the real thing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from despina_backends.base import Array, BackendError, Batch, Device, LoadOptions
from despina_backends.onnxruntime import load
from despina_backends.onnxruntime.bound import BoundInstance, is_predictable
from despina_backends.onnxruntime.memory import PageableMemory
from despina_backends.onnxruntime.metadata import tensors
from despina_backends.onnxruntime.runtime import load_runtime

Write = Callable[[str], Path]


class Counting:
    """An allocator that remembers."""

    pinned = False

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.closed = False

    def bytes(self, count: int) -> NDArray[np.uint8]:
        self.sizes.append(count)
        return np.empty(count, np.uint8)

    def free(self, block: NDArray[np.uint8]) -> None: ...

    def close(self) -> None:
        self.closed = True


def bound(path: Path, memory: tuple[Counting, Counting] | None = None) -> BoundInstance:
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())
    return BoundInstance(session, inputs, outputs, memory or (PageableMemory(), PageableMemory()))


def test_batches_of_any_size_give_fresh_outputs(write_model: Write) -> None:
    instance = bound(write_model("g (float[N,2] X) => (float[N,2] Y) { Y = Neg(X) }"))
    results: list[Array] = []
    for rows in (3, 1, 5, 2):
        parts: list[Array] = [np.full((1, 2), rows, np.float32)] * rows
        results.append(instance.execute(Batch({"X": parts}, rows)).outputs["Y"])
    assert [r.tolist() for r in results] == [[[-rows, -rows]] * rows for rows in (3, 1, 5, 2)]


def test_buffers_come_from_the_allocators_and_go_back(write_model: Write) -> None:
    memory = (Counting(), Counting())
    instance = bound(write_model("g (float[N,2] X) => (double[N,2] Y) { Y = Cast <to = 11> (X) }"), memory)
    part = np.ones((1, 2), np.float32)
    instance.execute(Batch({"X": [part, part]}, 2))
    assert [sum(side.sizes) for side in memory] == [2 * 2 * 4, 2 * 2 * 8]
    instance.close()
    assert [side.closed for side in memory] == [True, True]
    with pytest.raises(BackendError):
        instance.execute(Batch({"X": [part]}, 1))


class Elsewhere:
    """A session that, and a binding of it which, ignores the buffers bound for outputs. So does ONNX Runtime on a GPU
    with an output that an operator on the CPU reads, too."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def io_binding(self) -> "Elsewhere":
        return Elsewhere(self._inner.io_binding())

    def bind_output(self, name: str, *_: object) -> None:
        self._inner.bind_output(name, "cpu")

    def run_with_iobinding(self, binding: "Elsewhere", run_options: Any = None) -> None:
        self._inner.run_with_iobinding(binding._inner, run_options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("datatype", ["float", "bfloat16"])
def test_an_output_that_is_handed_out_elsewhere_is_taken_from_there(write_model: Write, datatype: str) -> None:
    path = write_model(f"g ({datatype}[N,2] X) => ({datatype}[N,2] Y) {{ Y = Identity(X) }}")
    session = Elsewhere(load_runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"]))
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())
    instance = BoundInstance(session, inputs, outputs, (PageableMemory(), PageableMemory()))
    for value in (3, 4):
        part = np.full((1, 2), value, np.float32 if datatype == "float" else np.uint16)
        assert instance.execute(Batch({"X": [part, part]}, 2)).outputs["Y"].tolist() == [[value] * 2] * 2


def test_shapes_nobody_knows_beforehand_are_allocated_by_the_runtime(write_model: Write) -> None:
    graph = "g (float[N] X) => (int64[R,K] Y, float[N] Z) { Y = NonZero(X)  Z = Neg(X) }"
    instance = bound(write_model(graph))
    outputs = [instance.execute(Batch({"X": [np.array(x, np.float32)]}, len(x))).outputs for x in ([0, 1], [1, 1, 1])]
    assert [o["Y"].tolist() for o in outputs] == [[[1]], [[0, 1, 2]]]
    assert [o["Z"].tolist() for o in outputs] == [[0, -1], [-1, -1, -1]]


def test_model_that_does_not_keep_its_declared_shape_runs_all_the_same(write_model: Write) -> None:
    graph = "g (float[N,2] X) => (float[M,2] Y) { Y = Concat <axis = 0> (X, X) }"
    instance = bound(write_model(graph))
    for _ in range(2):
        output = instance.execute(Batch({"X": [np.ones((1, 2), np.float32)]}, 1)).outputs["Y"]
        assert output.tolist() == [[1, 1], [1, 1]]


def test_without_batch_dimension_rows_do_not_matter(write_model: Write) -> None:
    instance = bound(write_model("g (float[N] X, float S) => (float[N] Y) { Y = Mul(X, S) }"))
    batch = Batch({"X": [np.array([1, 2], np.float32)], "S": [np.array([3], np.float32)]}, rows=0)
    assert instance.execute(batch).outputs["Y"].tolist() == [3, 6]


def test_zero_rows_run(write_model: Write) -> None:
    instance = bound(write_model("g (float[N,2] X) => (float[N,2] Y) { Y = Neg(X) }"))
    assert instance.execute(Batch({"X": [np.empty((0, 2), np.float32)]}, 0)).outputs["Y"].shape == (0, 2)


def test_wrong_input_names_are_refused(write_model: Write) -> None:
    instance = bound(write_model("g (float[N] X, float[N] Z) => (float[N] Y) { Y = Add(X, Z) }"))
    part = [np.zeros(1, np.float32)]
    for inputs, text, code in (
        ({"X": part}, "onnx runtime error 1: missing inputs: expected also Z", "INTERNAL"),
        (
            {"X": part, "Z": part, "W": part},
            "Failed to retrieve the ONNX input tensor info from 'W'.",
            "INVALID_ARG",
        ),
    ):
        with pytest.raises(BackendError) as caught:
            instance.execute(Batch(inputs, 1))
        assert (caught.value.message, caught.value.code) == (text, code)


def test_requested_outputs_only(write_model: Write) -> None:
    instance = bound(write_model("g (float[N] X) => (float[N] A, float[N] B) { A = Neg(X)  B = Abs(X) }"))
    for names in (("B",), ("A",), None, ("B", "A")):
        outputs = instance.execute(Batch({"X": [np.array([-2], np.float32)]}, 1, names)).outputs
        assert {k: v.tolist() for k, v in outputs.items()} == {
            k: v for k, v in {"A": [2], "B": [2]}.items() if names is None or k in names
        }


def test_error_while_running_leaves_the_instance_usable(write_model: Write) -> None:
    instance = bound(write_model("g (int64[N] I) => (float[N] Y) <float[3] T = {1, 2, 3}> { Y = Gather(T, I) }"))
    with pytest.raises(
        BackendError, match=r"^onnx runtime error 6: Non-zero status code returned while running Gather"
    ):
        instance.execute(Batch({"I": [np.array([9])]}, 1))
    assert instance.execute(Batch({"I": [np.array([1])]}, 1)).outputs["Y"].tolist() == [2]


@pytest.mark.parametrize("shape", ["N,2", "N,K"])
def test_bf16_travels_as_its_bits(write_model: Write, shape: str) -> None:
    path = write_model(f"g (bfloat16[{shape}] X) => (bfloat16[{shape}] Y) {{ Y = Identity(X) }}")
    instance = load(LoadOptions("m", path)).instance(Device("CPU"))
    assert isinstance(instance, BoundInstance)
    part = np.array([[0x3F80, 0xFFC1]], np.uint16)
    output = instance.execute(Batch({"X": [part, part]}, 2)).outputs["Y"]
    assert output.dtype == np.uint16
    assert output.tolist() == [[0x3F80, 0xFFC1]] * 2


def test_which_output_shapes_follow_from_the_rows(write_model: Write) -> None:
    graph = """g (float[N,2] X, float[N,K] Z) => (float[N,2] A, float[N,K] B, float C, float[3] D)
        { A = Neg(X) B = Neg(Z) C = ReduceSum <keepdims = 0> (X) D = Constant <value_floats = [1.0, 2.0, 3.0]> () }"""
    outputs = load(LoadOptions("m", write_model(graph))).outputs
    predictable = {name: is_predictable(tensor) for name, tensor in outputs.items()}
    assert predictable == {"A": True, "B": False, "C": False, "D": True}


@pytest.mark.parametrize("shape", ["N,3", "N,K"])
@pytest.mark.parametrize("used", ["", "float[N,3] Z"])
def test_an_output_that_is_an_input_is_a_copy_of_it(write_model: Write, shape: str, used: str) -> None:
    node, output = ("Z = Neg(S)", ", float[N,K] Z") if used else ("", "")
    graph = f"g (float[{shape}] S, bfloat16[N,2] X) => (float[{shape}] S, bfloat16[N,2] Y{output})"
    instance = load(LoadOptions("m", write_model(f"{graph} {{ Y = Identity(X) {node} }}"))).instance(Device("CPU"))
    assert isinstance(instance, BoundInstance)
    bits = np.zeros((1, 2), np.uint16)
    given: list[list[Array]] = [[np.full((1, 3), row + n, np.float32) for row in range(n)] for n in (2, 2, 1)]
    got = [instance.execute(Batch({"S": s, "X": [bits] * len(s)}, len(s))).outputs["S"] for s in given]
    assert [array.tolist() for array in got] == [np.concatenate(s).tolist() for s in given]
    assert not any(np.shares_memory(got[2], part) for part in given[2])
    only = instance.execute(Batch({"S": given[2], "X": [bits]}, 1, ("S",))).outputs
    assert {name: array.tolist() for name, array in only.items()} == {"S": [[1, 1, 1]]}
