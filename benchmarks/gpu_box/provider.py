"""Whether a session really runs on the GPU: ONNX Runtime falls back to the CPU with no more than a line in its log.

    python -m benchmarks.gpu_box.provider

prints what it found as JSON; `check` runs that in the right environment.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.gpu_box.problem import Problem

CUDA = "CUDAExecutionProvider"
Output = Callable[..., str]


def probe() -> dict[str, Any]:
    """Import ONNX Runtime as the server does, and run y = x + x on the first GPU."""
    import numpy as np
    import onnx

    from despina_backends.onnxruntime.cuda import device_count, missing_libraries, open_cudart
    from despina_backends.onnxruntime.runtime import load_runtime

    runtime: Any = load_runtime()
    text = '<ir_version: 9, opset_import: ["": 17]> g (float[N] x) => (float[N] y) { y = Add(x, x) }'
    model = onnx.parser.parse_model(text).SerializeToString()
    session = runtime.InferenceSession(model, providers=[(CUDA, {"device_id": "0"}), "CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": np.ones(3, np.float32)})
    cudart = open_cudart(runtime.cuda_version)
    return {
        "version": runtime.__version__,
        "cuda": runtime.cuda_version,
        "missing": list(missing_libraries(runtime.cuda_version)),
        "gpus": 0 if cudart is None else device_count(cudart),
        "providers": list(session.get_providers()),
        "right": bool((answer == 2).all()),
    }


def check(env: Mapping[str, str], output: Output = subprocess.check_output) -> dict[str, Any]:
    """What `probe` finds in a process with `env`. Raises Problem unless the session runs on CUDA and is right."""
    command: Sequence[str] = [sys.executable, "-m", "benchmarks.gpu_box.provider"]
    try:
        said = output(command, env=dict(env), text=True)
    except subprocess.CalledProcessError as error:
        raise Problem(f"ONNX Runtime could not be tried: the probe ended with status {error.returncode}") from error
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    judge(found)
    return found


def judge(found: Mapping[str, Any]) -> None:
    """Raises Problem with a clear sentence."""
    first = found["providers"][0]
    if first != CUDA:
        raise Problem(
            f"onnxruntime {found['version']} (CUDA {found['cuda'] or 'none'}) runs on {first} here, not on {CUDA}: "
            f"{_diagnosis(found)}"
        )
    if not found["right"]:
        raise Problem(f"{CUDA} started, but 1 + 1 was not 2 on it: the driver or the GPU is broken")


def _diagnosis(found: Mapping[str, Any]) -> str:
    if found["missing"]:
        return f"the loader does not find {', '.join(found['missing'])} (libcuda.so.1 is the driver's)"
    if not found["gpus"]:
        return "no GPU is visible to the CUDA runtime: check the driver and CUDA_VISIBLE_DEVICES"
    return "its libraries and a GPU are there; the driver may be too old for this CUDA"


if __name__ == "__main__":
    print(json.dumps(probe()))
