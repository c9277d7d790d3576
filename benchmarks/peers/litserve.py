"""LitServe. Its workers poll: 0.16 cores when idle."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.dialects import json_rows
from benchmarks.peers.environment import environment, versions
from benchmarks.peers.peer import APPS, ONNXRUNTIME, start_peer
from benchmarks.server_process import free_port
from benchmarks.workload import Workload


@dataclass(slots=True)
class LitServe:
    workload: Workload
    about: str = ""
    name: str = "LitServe"
    kinds: Sequence[Kind] = ("json",)

    def start(self) -> RunningServer:
        bin_directory = environment("litserve", ("litserve>=0.2,<0.3", ONNXRUNTIME))
        settings = "max_batch_size 64, batch_timeout 0.5 ms, 1 worker, 1 intra-op thread"
        self.about = f"{versions(bin_directory, ('litserve', ONNXRUNTIME))}, {settings}"
        port = free_port()
        command = [str(bin_directory / "python"), str(APPS / "lit_server.py"), str(port)]
        dialect = json_rows("/predict", "input", "output", nested=False)
        return start_peer("litserve", self.workload, command, port, "/health", dialect=dialect, polls=True)
