"""With the CPU in the GPU's place: everything but recording and replaying is the real thing."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from despina_backends.base import BackendError, Batch, Device, LoadOptions, TensorMetadata
from despina_backends.onnxruntime.cuda_graph import GraphInstance, bucket_sizes, check_graphable, wants_graphs
from despina_backends.onnxruntime.metadata import tensors
from despina_backends.onnxruntime.recording import GATE
from despina_backends.onnxruntime.runtime import load_runtime
from despina_backends.onnxruntime.session import CREATION

Write = Callable[[str], Path]
GRAPH = "g (float[N,2] X, int64[N,2] I) => (float[N,2] Y, int64[N,2] J) { Y = Neg(X)  J = Abs(I) }"


class Watched:
    """A session that remembers which graph ran on which thread, and what ran first without one. The CPU knows no
    graphs, so the id is only noted."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.runs: list[tuple[str, int]] = []
        self.without: list[tuple[int, int]] = []
        """Of each run without a graph: how many there were with one before, and its thread."""

    def run_with_iobinding(self, binding: Any, run_options: Any) -> None:
        graph = run_options.get_run_config_entry("gpu_graph_id")
        if graph == "-1":
            self.without.append((len(self.runs), threading.get_ident()))
        else:
            self.runs.append((graph, threading.get_ident()))
        self._session.run_with_iobinding(binding)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def graphed(
    path: Path, sizes: tuple[int, ...] = (1, 2, 4), watched: type[Watched] = Watched
) -> tuple[GraphInstance, Watched]:
    runtime: Any = load_runtime()
    session = watched(runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]))
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())
    return GraphInstance(session, inputs, outputs, sizes, runtime, Device("GPU"), "cpu"), session


def batch(rows: int, value: float, outputs: tuple[str, ...] | None = None) -> Batch:
    parts = {"X": [np.full((1, 2), value, np.float32)] * rows, "I": [np.full((1, 2), -3, np.int64)] * rows}
    return Batch({name: list(each) for name, each in parts.items()}, rows, outputs)


def test_a_batch_runs_in_the_smallest_bucket_it_fits_and_gets_its_own_rows(write_model: Write) -> None:
    instance, session = graphed(write_model(GRAPH))
    results = [instance.execute(batch(rows, rows)).outputs for rows in (1, 3, 2, 4, 3)]
    assert [result["Y"].tolist() for result in results] == [[[-n, -n]] * n for n in (1, 3, 2, 4, 3)]
    assert results[1]["J"].tolist() == [[3, 3]] * 3
    # The first three recorded.
    assert [graph for graph, _ in session.runs] == ["1", "2", "4", "1", "4", "2", "4", "4"]
    instance.close()


def test_every_graph_is_recorded_before_any_request_and_while_nothing_else_is_on_a_gpu(
    write_model: Write,
) -> None:
    others: list[tuple[threading.Thread, bool, bool]] = []

    def run() -> None:
        with GATE.run():
            pass

    class Locked(Watched):
        def run_with_iobinding(self, binding: Any, run_options: Any) -> None:
            assert CREATION.locked()
            other = threading.Thread(target=run, daemon=True)
            other.start()
            records = run_options.get_run_config_entry("gpu_graph_id") != "-1"
            other.join(0.02 if records else 10)
            others.append((other, other.is_alive(), records))
            super().run_with_iobinding(binding, run_options)

    instance, session = graphed(write_model(GRAPH), (1, 2, 3), Locked)
    assert [graph for graph, _ in session.runs] == ["1", "2", "3"]
    assert not CREATION.locked()
    assert [records for _, _, records in others] == [False, True] * 3
    for thread, waited, records in others:
        assert waited is records
        thread.join(10)
        assert not thread.is_alive()
    instance.close()


def test_each_bucket_runs_once_without_a_graph_before_its_graph_is_recorded(write_model: Write) -> None:
    instance, session = graphed(write_model(GRAPH))
    assert [before for before, _ in session.without] == [0, 1, 2]
    assert {thread for _, thread in session.without} == {thread for _, thread in session.runs}
    instance.close()


def test_a_graph_that_cannot_be_recorded_is_an_error_of_the_load(write_model: Write) -> None:
    class Failing(Watched):
        def run_with_iobinding(self, binding: Any, run_options: Any) -> None:
            raise RuntimeError("Error in execution: CUDA failure 900: operation not permitted when stream is capturing")

    with pytest.raises(BackendError, match=r"^onnx runtime error 6: CUDA failure 900: operation not permitted"):
        graphed(write_model(GRAPH), (1,), Failing)
    assert not any(thread.name.startswith("cuda-graph") for thread in threading.enumerate())


def test_buckets_for_which_there_is_no_memory_are_an_error_of_the_load(write_model: Write) -> None:
    runtime: Any = load_runtime()
    session = runtime.InferenceSession(str(write_model(GRAPH)), providers=["CPUExecutionProvider"])
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())
    with pytest.raises(BackendError, match=r"^onnx runtime error "):
        GraphInstance(session, inputs, outputs, (1,), runtime, Device("GPU"), "cuda")


def test_all_runs_happen_on_one_thread_whoever_asks(write_model: Write) -> None:
    instance, session = graphed(write_model(GRAPH))
    for _ in range(2):
        thread = threading.Thread(target=instance.execute, args=(batch(1, 1.0),))
        thread.start()
        thread.join()
    instance.execute(batch(1, 1.0))
    assert len({thread for _, thread in session.runs}) == 1
    assert threading.get_ident() not in {thread for _, thread in session.runs}
    instance.close()


def test_rows_of_an_earlier_batch_do_not_stay(write_model: Write) -> None:
    graph = "g (float[N,2] X) => (float[N,2] Y) { S = ReduceSum <keepdims = 1> (X)  Z = Sub(X, X)  Y = Add(Z, S) }"
    instance, _ = graphed(write_model(graph), (4,))
    ones = np.ones((1, 2), np.float32)
    assert instance.execute(Batch({"X": [ones] * 4}, 4)).outputs["Y"][0, 0] == 8
    assert instance.execute(Batch({"X": [ones]}, 1)).outputs["Y"].tolist() == [[2, 2]]
    instance.close()


def test_requested_outputs_only(write_model: Write) -> None:
    instance, _ = graphed(write_model(GRAPH))
    assert list(instance.execute(batch(1, 1.0, ("J",))).outputs) == ["J"]
    instance.close()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (Batch({"X": [np.zeros((1, 2), np.float32)]}, 1), "onnx runtime error 1: missing inputs: expected also I"),
        (batch(5, 1.0), "expected a batch of 4 rows at most, got 5"),
        (
            Batch({"X": [np.zeros((1, 3), np.float32)], "I": [np.zeros((1, 2), np.int64)]}, 1),
            "inputs do not make a batch of 1 rows",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_the_instance_stays_usable(
    write_model: Write, wrong: Batch, text: str
) -> None:
    instance, _ = graphed(write_model(GRAPH))
    with pytest.raises(BackendError) as caught:
        instance.execute(wrong)
    assert caught.value.code == ("INTERNAL" if text.startswith("onnx runtime error") else "INVALID_ARG")
    assert text in caught.value.message
    assert instance.execute(batch(1, 2.0)).outputs["Y"].tolist() == [[-2, -2]]
    instance.close()


@pytest.mark.parametrize(("largest", "sizes"), [(1, (1,)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_buckets_are_powers_of_two(largest: int, sizes: tuple[int, ...]) -> None:
    assert bucket_sizes(largest) == sizes


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("true", True), ("0", False), (None, False)])
def test_graphs_are_asked_for_by_the_cuda_accelerator(value: str | None, wanted: bool) -> None:
    parameters = {} if value is None else {"enable_cuda_graph": value}
    assert wants_graphs(LoadOptions("m", Path(), accelerators={"GPU": [("cuda", parameters)]})) is wanted
    assert not wants_graphs(LoadOptions("m", Path(), accelerators={"GPU": [("tensorrt", parameters)]}))


@pytest.mark.parametrize(
    ("max_batch_size", "shape", "datatype", "fits"),
    [
        (4, (-1, 2), "FP16", True),
        (0, (-1, 2), "FP32", False),
        (4, (-1, -1), "FP32", False),
        (4, (2, 2), "FP32", False),
        (4, (), "FP32", False),
        (4, (-1, 2), "BYTES", False),
        (4, (-1, 2), "BF16", False),
    ],
)
def test_models_without_fixed_shapes_cannot_have_graphs(
    max_batch_size: int, shape: tuple[int, ...], datatype: str, fits: bool
) -> None:
    options = LoadOptions("m", Path(), max_batch_size)
    if fits:
        check_graphable(options, [TensorMetadata("X", datatype, shape)])
        return
    with pytest.raises(BackendError, match=r"^model 'm': enable_cuda_graph needs ") as caught:
        check_graphable(options, [TensorMetadata("X", datatype, shape)])
    assert caught.value.code == "UNSUPPORTED"


def test_the_gpu_is_chosen_on_the_instances_thread_before_anything_is_copied_to_it(
    write_model: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime: Any = load_runtime()
    happened: list[tuple[str, int]] = []
    copy = runtime.OrtValue.update_inplace

    def update_inplace(value: Any, data: Any) -> None:
        happened.append(("copy", threading.get_ident()))
        copy(value, data)

    monkeypatch.setattr(runtime.OrtValue, "update_inplace", update_inplace)
    session = runtime.InferenceSession(str(write_model(GRAPH)), providers=["CPUExecutionProvider"])
    inputs, outputs = tensors(session.get_inputs()), tensors(session.get_outputs())

    def enter() -> None:
        happened.append(("choose", threading.get_ident()))

    instance = GraphInstance(session, inputs, outputs, (1,), runtime, Device("GPU", 1), "cpu", enter)
    assert [what for what, _ in happened] == ["choose", "copy", "copy"]
    assert len({thread for _, thread in happened}) == 1
    instance.close()
    assert happened[3:] == [("choose", threading.get_ident())]
