"""ONNX Runtime in this process, without any server: the expected answers, and the speed nothing can exceed."""

import time
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from benchmarks.models import MODELS, model_file
from benchmarks.workload import Workload


def session(name: str, threads: int) -> ort.InferenceSession:
    """`threads` intra-op threads; 0 leaves their number to ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(model_file(name)), options, providers=["CPUExecutionProvider"])


def make_workload(name: str, rows: int = 64) -> Workload:
    """The model's rows and the answers of a session that is given them one by one."""
    _make, make_rows, tolerance = MODELS[name]
    inputs = make_rows(rows)
    running = session(name, 1)
    answers = [
        running.run(None, {key: array[row : row + 1] for key, array in inputs.items()})[0] for row in range(rows)
    ]
    output = running.get_outputs()[0].name
    return Workload(name, inputs, output, np.concatenate(answers), tolerance)


def rows_per_second(workload: Workload, threads: int, batch_sizes: Sequence[int], seconds: float) -> dict[str, float]:
    """By batch size: rows through `InferenceSession.run` in a loop."""
    running = session(workload.name, threads)
    speeds: dict[str, float] = {}
    for size in batch_sizes:
        feed = {key: np.resize(array, (size, *array.shape[1:])) for key, array in workload.inputs.items()}
        running.run(None, feed)
        runs = 0
        start = time.perf_counter()
        while (taken := time.perf_counter() - start) < seconds:
            running.run(None, feed)
            runs += 1
        speeds[str(size)] = runs * size / taken
    return speeds
