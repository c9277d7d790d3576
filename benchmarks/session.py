"""Sessions of ONNX Runtime as a server would have them, without one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.models import model_file
from benchmarks.server_process import NotStarted
from despina_backends.base import Array
from despina_backends.onnxruntime.runtime import load_runtime

Device = Literal["cpu", "gpu"]


def open_session(name: str, device: Device, threads: int = 0) -> Any:
    """One of a model on the CPU, or on GPU 0. `threads` intra-op threads; 0 leaves their number to ONNX Runtime. Raises
    NotStarted where ONNX Runtime fell back to the CPU."""
    runtime: Any = load_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    cuda = [("CUDAExecutionProvider", {"device_id": "0"})] if device == "gpu" else []
    session = runtime.InferenceSession(str(model_file(name)), options, providers=[*cuda, "CPUExecutionProvider"])
    first = session.get_providers()[0]
    if cuda and first != "CUDAExecutionProvider":
        raise NotStarted(f"the session runs on {first}, not on the GPU")
    return session


@dataclass(frozen=True, slots=True)
class Speed:
    """How many rows in how many seconds."""

    rows: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


class BoundSession:
    """A session whose inputs and outputs stay on its device, for `batch` rows at a time: the speed nothing can
    exceed."""

    def __init__(self, session: Any, rows: Mapping[str, Array], batch: int, device: Device) -> None:
        runtime: Any = load_runtime()
        where = "cuda" if device == "gpu" else "cpu"
        self._session = session
        self._batch = batch
        self._binding = session.io_binding()
        # Kept here: a binding by value holds no reference that Python knows of.
        self._values = {
            key: runtime.OrtValue.ortvalue_from_numpy(np.resize(array, (batch, *array.shape[1:])), where, 0)
            for key, array in rows.items()
        }
        for key, value in self._values.items():
            self._binding.bind_ortvalue_input(key, value)
        for output in session.get_outputs():
            self._binding.bind_output(output.name, where, 0)

    def run(self, seconds: float) -> Speed:
        """One batch after the other, until the time is over; one at least."""
        runs = 0
        begin = time.perf_counter()
        while (taken := time.perf_counter() - begin) < seconds or not runs:
            self._session.run_with_iobinding(self._binding)
            runs += 1
        return Speed(runs * self._batch, taken)
