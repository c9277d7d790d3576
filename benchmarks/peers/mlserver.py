"""MLServer with a custom runtime."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.environment import environment, versions
from benchmarks.peers.peer import ONNXRUNTIME, start_peer
from benchmarks.places import PEERS
from benchmarks.server_process import free_port
from benchmarks.workload import Workload


@dataclass(slots=True)
class MLServer:
    workload: Workload
    about: str = ""
    name: str = "MLServer"
    kinds: Sequence[Kind] = ("json",)

    def start(self) -> RunningServer:
        bin_directory = environment("mlserver", ("mlserver>=1.7,<1.8", ONNXRUNTIME))
        settings = "max_batch_size 64, max_batch_time 0.5 ms, no parallel workers, 1 intra-op thread"
        self.about = f"{versions(bin_directory, ('mlserver', ONNXRUNTIME))}, {settings}"
        port = free_port()
        folder = PEERS / "mlserver-models"
        write_settings(folder, self.workload.name, port)
        command = [str(bin_directory / "mlserver"), "start", str(folder)]
        return start_peer("mlserver", self.workload, command, port, f"/v2/models/{self.workload.name}/ready")


def write_settings(folder: Path, model: str, port: int) -> None:
    """Workers would add a process and a hop, so there are none: the setting that is best for MLServer here."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    settings = {
        "name": model,
        "implementation": "mlserver_runtime.OnnxRuntime",
        "max_batch_size": 64,
        "max_batch_time": 0.0005,
        "parameters": {"uri": "./"},
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(settings))
