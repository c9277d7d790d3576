from pathlib import Path
from typing import Any

import numpy as np
import pytest

from despina.models.own_outputs import with_own_outputs
from despina.shared_memory.guarded_map import GuardedMap, is_shared
from despina_backends.base import Batch, Execution


class Echo:
    """Answers with what it was made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.closed = False

    def execute(self, batch: Batch) -> Any:
        return self.answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def theirs(tmp_path: Path) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Memory of a client."""
    with (tmp_path / "k").open("w+b") as file:
        file.write(b"abcd")
        file.flush()
        return np.frombuffer(GuardedMap(file.fileno(), 0, 4).view, np.uint8)


def test_outputs_that_a_client_can_change_are_copied_and_others_are_not(theirs: Any) -> None:
    ours = np.zeros(4, np.uint8)
    inner = Echo(Execution({"x": theirs[1:], "y": ours, "z": [1]}, 5, 6))
    instance = with_own_outputs(inner, "package:Echo")
    execution = instance.execute(Batch({}, 1, None))
    assert (execution.input_end_ns, execution.infer_end_ns) == (5, 6)
    assert execution.outputs["x"].tobytes() == b"bcd"
    assert not is_shared(execution.outputs["x"])
    assert execution.outputs["y"] is ours
    assert execution.outputs["z"] == [1]
    instance.close()
    assert inner.closed


def test_what_is_no_execution_is_passed_on() -> None:
    assert with_own_outputs(Echo({}), "package:Echo").execute(Batch({}, 1, None)) == {}


def test_nothing_is_put_around_onnx_runtime() -> None:
    inner = Echo(None)
    assert with_own_outputs(inner, "onnxruntime") is inner
