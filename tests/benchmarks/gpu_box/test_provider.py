import json
import subprocess
from typing import Any

import pytest
from benchmarks.gpu_box.problem import Problem
from benchmarks.gpu_box.provider import CUDA, check, judge

FOUND = {
    "version": "1.31.1",
    "cuda": "13.0",
    "missing": [],
    "gpus": 1,
    "providers": [CUDA, "CPUExecutionProvider"],
    "right": True,
}
ON_CPU = {"providers": ["CPUExecutionProvider"]}


def test_a_session_on_cuda_is_what_is_wanted() -> None:
    def output(command: Any, **options: Any) -> str:
        assert options["env"] == {"A": "1"}
        return "a line of a log\n" + json.dumps(FOUND) + "\n"

    assert check({"A": "1"}, output) == FOUND


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {**ON_CPU, "missing": ["libcuda.so.1", "libcudnn.so.9"]},
            r"^onnxruntime 1\.31\.1 \(CUDA 13\.0\) runs on CPUExecutionProvider here, not on CUDAExecutionProvider: "
            r"the loader does not find libcuda\.so\.1, libcudnn\.so\.9",
        ),
        ({**ON_CPU, "gpus": 0}, "no GPU is visible"),
        (ON_CPU, "the driver may be too old"),
        ({"right": False}, r"1 \+ 1 was not 2"),
    ],
)
def test_anything_else_is_a_problem(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(Problem, match=text):
        judge({**FOUND, **changes})


def test_a_probe_that_dies_is_a_problem() -> None:
    def output(command: Any, **options: Any) -> str:
        raise subprocess.CalledProcessError(-11, command)

    with pytest.raises(Problem, match="ended with status -11"):
        check({}, output)
