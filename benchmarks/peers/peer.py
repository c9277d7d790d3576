"""What starting any peer takes."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.contender import V2, Dialect, RunningServer
from benchmarks.models import model_file
from benchmarks.places import OUT
from benchmarks.server_process import start
from benchmarks.workload import Workload

APPS = Path(__file__).parent / "apps"
ONNXRUNTIME = "onnxruntime"


def start_peer(
    name: str,
    workload: Workload,
    command: Sequence[str],
    port: int,
    ready: str,
    dialect: Dialect = V2,
    counts_batches: bool = False,
    polls: bool = False,
) -> RunningServer:
    """Start it with the model's file in MODEL_FILE and `apps` on its path. Raises NotStarted."""
    environment = {
        "MODEL_FILE": str(model_file(workload.name)),
        "PYTHONPATH": str(APPS),
        "ORT_DISABLE_TELEMETRY": "1",
    }
    log = OUT / "logs" / f"{name}.log"
    server = start(command, port, log, ready, environment=environment)
    return RunningServer(server, {workload.name: workload}, dialect, counts_batches, polls=polls)
