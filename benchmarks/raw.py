"""ONNX Runtime without any server: the expected answers, and the speed nothing can exceed.

python -m benchmarks.raw MODEL DEVICE THREADS BATCH SECONDS
"""

import json
import sys
import time
from typing import Any, Literal

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from benchmarks.models import MODELS, model_file
from benchmarks.workload import Workload

Device = Literal["cpu", "gpu"]


def session(name: str, threads: int, device: Device = "cpu") -> Any:
    """`threads` intra-op threads; 0 leaves their number to ONNX Runtime."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ["CPUExecutionProvider"]
    if device == "gpu":
        ort.preload_dlls()
        providers.insert(0, "CUDAExecutionProvider")
    running = ort.InferenceSession(str(model_file(name)), options, providers=providers)
    assert running.get_providers()[0] == providers[0], "onnxruntime fell back to the CPU"
    return running


def make_workload(name: str) -> Workload:
    """The model's rows and the answers of a CPU session that is given them one by one."""
    recipe = MODELS[name]
    inputs = recipe.make_rows(recipe.rows)
    running = session(name, 1)
    answers = [
        running.run(None, {key: array[row : row + 1] for key, array in inputs.items()})[0] for row in range(recipe.rows)
    ]
    output = running.get_outputs()[0].name
    return Workload(name, inputs, output, np.concatenate(answers), recipe.tolerance)


def rows_per_second(name: str, device: Device, threads: int, batch: int, seconds: float) -> dict[str, float]:
    """Rows through a session in a loop; on a GPU with tensors that are already there (IO binding)."""
    running = session(name, threads, device)
    feed = {key: np.resize(rows, (batch, *rows.shape[1:])) for key, rows in MODELS[name].make_rows(batch).items()}
    binding = running.io_binding()
    for key, array in feed.items():
        binding.bind_ortvalue_input(key, ort.OrtValue.ortvalue_from_numpy(array, "cuda" if device == "gpu" else "cpu"))
    for output in running.get_outputs():
        binding.bind_output(output.name, "cuda" if device == "gpu" else "cpu")
    warm_up_end = time.perf_counter() + min(1.0, seconds)
    running.run_with_iobinding(binding)
    while time.perf_counter() < warm_up_end:
        running.run_with_iobinding(binding)
    runs = 0
    cpu, start = time.process_time(), time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        running.run_with_iobinding(binding)
        runs += 1
    return {"rows": runs * batch, "seconds": taken, "cpu_seconds": time.process_time() - cpu}


def main(name: str, device: Device, threads: str, batch: str, seconds: str) -> None:
    print(json.dumps(rows_per_second(name, device, int(threads), int(batch), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
