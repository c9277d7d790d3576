from pathlib import Path

import numpy as np
import pytest

from despina_backends.base import BackendError, Batch, Device, LoadOptions, TensorMetadata
from despina_backends.identity import load


def test_output_is_a_fresh_copy_of_the_gathered_input() -> None:
    backend = load(LoadOptions("m", Path()))
    parts = [np.ones((1, 3), np.float32), np.zeros((2, 3), np.float32)]
    execution = backend.instance(Device("CPU")).execute(Batch({"INPUT0": parts}, rows=3))
    assert execution.outputs["OUTPUT0"].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert execution.input_end_ns <= execution.infer_end_ns


def test_parameters_name_and_shape_the_tensors() -> None:
    parameters = {"input": "A,B", "output": "C,D", "datatype": "INT64", "shape": "-1,2"}
    backend = load(LoadOptions("m", Path(), parameters=parameters))
    assert [(t.name, t.datatype, t.shape) for t in backend.inputs.values()] == [
        ("A", "INT64", (-1, 2)),
        ("B", "INT64", (-1, 2)),
    ]
    batch = Batch({"A": [np.array([[1, 2]])], "B": [np.array([[3, 4]])]}, rows=1, outputs=("D",))
    outputs = backend.instance(Device("CPU")).execute(batch).outputs
    assert {name: value.tolist() for name, value in outputs.items()} == {"D": [[3, 4]]}


def test_delay_lengthens_the_computation() -> None:
    instance = load(LoadOptions("m", Path(), parameters={"execute_delay_us": "2000"})).instance(Device("CPU"))
    execution = instance.execute(Batch({"INPUT0": [np.zeros((1, 1), np.float32)]}, rows=1))
    assert execution.infer_end_ns - execution.input_end_ns >= 2_000_000


@pytest.mark.parametrize("parameters", [{"input": "A,B"}, {"shape": "x"}, {"execute_delay_us": ""}])
def test_contradictory_parameters_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(BackendError) as caught:
        load(LoadOptions("m", Path(), parameters=parameters))
    assert caught.value.code == "INVALID_ARG"


def test_the_tensors_of_the_configuration_win() -> None:
    inputs = [TensorMetadata("A", "BYTES", (-1, 2)), TensorMetadata("B", "INT8", (-1,))]
    outputs = [TensorMetadata("X", "BYTES", (-1, 2)), TensorMetadata("Y", "INT8", (-1,))]
    backend = load(LoadOptions("m", Path(), parameters={"input": "other"}, inputs=inputs, outputs=outputs))
    assert (list(backend.inputs.values()), list(backend.outputs.values())) == (inputs, outputs)


@pytest.mark.parametrize(
    ("datatype", "shape", "rows", "zeros"),
    [
        ("INT8", (-1, 2), 3, [[0, 0]] * 3),
        ("FP32", (-1, -1), 2, [[0], [0]]),
        ("BOOL", (-1, 2), 0, [[False, False]]),
        ("BYTES", (-1, 1), 1, [[b""]]),
    ],
)
def test_an_optional_input_that_is_missing_gives_zeros(
    datatype: str, shape: tuple[int, ...], rows: int, zeros: list[object]
) -> None:
    inputs = [TensorMetadata("A", "INT8", shape), TensorMetadata("B", datatype, shape, optional=True)]
    outputs = [TensorMetadata("X", "INT8", shape), TensorMetadata("Y", datatype, shape)]
    instance = load(LoadOptions("m", Path(), inputs=inputs, outputs=outputs)).instance(Device("CPU"))
    given = np.ones((rows or 1, 2), np.int8)
    made = instance.execute(Batch({"A": [given]}, rows)).outputs
    assert (made["X"].tolist(), made["Y"].tolist()) == (given.tolist(), zeros)


def test_later_instances_may_be_slower() -> None:
    parameters = {"execute_delay_ms": "2", "instance_wise_delay_multiplier": "3"}
    backend = load(LoadOptions("m", Path(), parameters=parameters))
    batch = Batch({"INPUT0": [np.zeros((1, 1), np.float32)]}, rows=1)
    for least_ms in (2, 6, 12):
        execution = backend.instance(Device("CPU")).execute(batch)
        assert execution.infer_end_ns - execution.input_end_ns >= least_ms * 1_000_000
