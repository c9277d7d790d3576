"""ONNX Runtime without any server: the expected answers, and the speed nothing can exceed.

python -m benchmarks.raw MODEL DEVICE THREADS BATCH SECONDS
"""

import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.models import MODELS
from benchmarks.session import BoundSession, Device, open_session
from benchmarks.workload import Workload

WARM_UP_S = 1.0


def make_workload(name: str, session: Any = None) -> Workload:
    """The model's rows and the answers of `session`, or else of one on the CPU, that is given them one by one."""
    recipe = MODELS[name]
    inputs = recipe.make_rows(recipe.rows)
    running = open_session(name, "cpu", 1) if session is None else session
    output = running.get_outputs()[0].name
    rows = ({key: array[row : row + 1] for key, array in inputs.items()} for row in range(recipe.rows))
    answers = [running.run([output], row)[0] for row in rows]
    return Workload(name, inputs, output, np.concatenate(answers), recipe.tolerance)


def measure(name: str, device: Device, threads: int, batch: int, seconds: float) -> dict[str, float]:
    """Rows through a session in a loop, with tensors that are already where it computes."""
    session = BoundSession(open_session(name, device, threads), MODELS[name].make_rows(batch), batch, device)
    session.run(min(WARM_UP_S, seconds))
    cpu = time.process_time()
    speed = session.run(seconds)
    return {"rows": speed.rows, "seconds": speed.seconds, "cpu_seconds": time.process_time() - cpu}


def main(name: str, device: Device, threads: str, batch: str, seconds: str) -> None:
    print(json.dumps(measure(name, device, int(threads), int(batch), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
