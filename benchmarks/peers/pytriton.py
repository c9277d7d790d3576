"""PyTriton: tritonserver with a Python function behind a proxy. Identity only, to show the front end.

It keeps the server's statistics to itself, so its batches are not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.environment import installed
from benchmarks.peers.peer import APPS, start_peer
from benchmarks.peers.pytriton_wheel import VERSION, PyTritonWheel
from benchmarks.server_process import NotStarted, free_port
from benchmarks.workload import Workload


@dataclass(slots=True)
class PyTriton:
    workload: Workload
    about: str = ""
    name: str = "PyTriton"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> RunningServer:
        if self.workload.name != "identity":
            raise NotStarted("serves the model identity only")
        bin_directory = PyTritonWheel.install().bin_directory
        version = installed(bin_directory, "nvidia-pytriton")
        settings = "bound Python function, max_batch_size 64, delay 0"
        self.about = f"nvidia-pytriton {version} (tritonserver {VERSION}), {settings}"
        port = free_port()
        (rows,) = self.workload.inputs.values()
        command = [str(bin_directory / "python"), str(APPS / "pytriton_identity.py"), str(port), str(rows.shape[1])]
        return start_peer("pytriton", self.workload, command, port, "/v2/models/identity/ready")
