import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from despina_backends.base import BackendError, Batch, Device, LoadOptions, TensorMetadata
from despina_backends.process import parent
from despina_backends.process.parent import InstanceProcess, start_instance
from despina_backends.process.places import batch_tensors
from despina_backends.process.recipe import Recipe

INPUTS = (TensorMetadata("A", "FP32", (-1, 2)), TensorMetadata("B", "INT64", (-1,)))
OUTPUTS = (TensorMetadata("OUT_A", "FP32", (-1, 2)), TensorMetadata("OUT_B", "INT64", (-1,)))
Start = Callable[..., InstanceProcess]


def recipe(backend: str = "identity", outputs: tuple[TensorMetadata, ...] = OUTPUTS) -> Recipe:
    tensors = batch_tensors(INPUTS, outputs, 8)
    assert tensors is not None
    options = LoadOptions("m", Path("nowhere"), 8, inputs=INPUTS, outputs=OUTPUTS)
    return Recipe(backend, options, Device("CPU"), tensors)


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[InstanceProcess] = []

    def make(**options: object) -> InstanceProcess:
        started.append(start_instance(recipe(**options)))
        return started[-1]

    yield make
    for process in started:
        process.close()
        process.reap()
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def batch(*values: int, outputs: tuple[str, ...] | None = None) -> Batch:
    a = [np.full((1, 2), value, np.float32) for value in values]
    b = [np.full((1,), -value, np.int64) for value in values]
    return Batch({"A": a, "B": b}, len(values), outputs)


def test_a_batch_comes_back(start: Start) -> None:
    process = start()
    process.send(batch(1, 2, 3))
    started_ns, execution = process.receive()
    assert execution is not None
    assert execution.outputs["OUT_A"].tolist() == [[1, 1], [2, 2], [3, 3]]
    assert execution.outputs["OUT_B"].tolist() == [-1, -2, -3]
    assert 0 < started_ns <= execution.input_end_ns <= execution.infer_end_ns


def test_two_batches_may_be_under_way_and_later_ones_do_not_touch_their_results(start: Start) -> None:
    process = start()
    process.send(batch(1))
    process.send(batch(2, 3))
    _, first = process.receive()
    process.send(batch(4, 5, 6))
    _, second = process.receive()
    _, third = process.receive()
    rows = [execution.outputs["OUT_B"].tolist() for execution in (first, second, third) if execution is not None]
    assert rows == [[-1], [-2, -3], [-4, -5, -6]]


def test_only_the_outputs_that_are_wanted_come_back(start: Start) -> None:
    process = start()
    process.send(batch(7, outputs=("OUT_B",)))
    _, execution = process.receive()
    assert execution is not None
    assert {name: array.tolist() for name, array in execution.outputs.items()} == {"OUT_B": [-7]}


@pytest.mark.parametrize(
    "promised", [TensorMetadata("OUT_B", "INT64", (-1, 4)), TensorMetadata("OUT_B", "FP32", (-1,))]
)
def test_an_execution_that_fails_is_reported_and_the_process_goes_on(start: Start, promised: TensorMetadata) -> None:
    # The second output turns out to be other than the configuration promises.
    process = start(outputs=(OUTPUTS[0], promised))
    process.send(batch(1))
    assert process.receive()[1] is None
    process.send(batch(2, outputs=("OUT_A",)))
    _, execution = process.receive()
    assert execution is not None
    assert execution.outputs["OUT_A"].tolist() == [[2, 2]]


def test_a_process_that_works_uses_processor_time_and_one_that_is_gone_has_none(start: Start) -> None:
    process = start()
    before = process.worked_ns()
    process.send(batch(1))
    process.receive()
    assert 0 < before < process.worked_ns()
    os.kill(process.pid, signal.SIGKILL)
    process.reap()
    assert process.worked_ns() == 0


def test_a_killed_process_is_noticed(start: Start) -> None:
    process = start()
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        process.receive()


def test_a_signal_for_the_whole_group_does_not_end_it(start: Start) -> None:
    process = start()
    os.kill(process.pid, signal.SIGTERM)  # which is for the server to follow
    process.send(batch(1))
    assert process.receive()[1] is not None


def test_a_model_that_cannot_be_loaded_there_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BackendError, match="a process of its own for model 'm' did not start"):
        start_instance(recipe(backend="onnxruntime"))
    (said,) = capfd.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert "nowhere" in said


def run_instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Have this program run in place of an instance's."""

    def command(module: str, *arguments: object) -> list[str]:
        return [sys.executable, "-S", "-c", program, *map(str, arguments)]

    monkeypatch.setattr("despina_backends.process.parent.interpreter.command", command)


def test_a_process_that_ends_before_it_was_told_what_to_load_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(monkeypatch, "")
    told = recipe()
    much = replace(told, options=replace(told.options, model_name="m" * 200_000))  # more than a pipe holds
    with pytest.raises(BackendError, match="did not start"):
        start_instance(much)


def test_a_process_that_hangs_before_it_is_there_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(monkeypatch, "import time; time.sleep(10)")
    monkeypatch.setattr(parent, "START_SECONDS", 0.1)
    started: list[subprocess.Popen[bytes]] = []
    start = parent._start
    monkeypatch.setattr(parent, "_start", lambda *told: started.append(start(*told)) or started[-1])
    with pytest.raises(BackendError, match="did not start"):
        start_instance(recipe())
    assert started[0].returncode == -signal.SIGKILL


def test_a_closed_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "import os, sys, time; os.write(int(sys.argv[3]), bytes(32)); time.sleep(10)"
    run_instead(monkeypatch, answer)
    monkeypatch.setattr(parent, "STOP_SECONDS", 0.1)
    process = start_instance(recipe())
    process.close()
    process.reap()
    assert process._process.returncode == -signal.SIGKILL


def test_it_starts_however_many_descriptors_the_server_has(start: Start) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1_200:
        pytest.skip("no process may have so many here")
    with ExitStack() as opened:
        while (descriptor := os.dup(0)) < 1_100:
            opened.callback(os.close, descriptor)
        opened.callback(os.close, descriptor)
        process = start()
    process.send(batch(1))
    assert process.receive()[1] is not None


def test_a_process_that_did_not_start_leaves_no_descriptors() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(BackendError):
        start_instance(recipe(backend="onnxruntime"))
    assert sorted(os.listdir("/proc/self/fd")) == before
