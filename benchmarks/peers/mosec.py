"""mosec: a front end in Rust, workers in Python."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.dialects import raw_or_json_rows
from benchmarks.peers.environment import environment, versions
from benchmarks.peers.peer import APPS, ONNXRUNTIME, start_peer
from benchmarks.server_process import free_port
from benchmarks.workload import Workload


@dataclass(slots=True)
class Mosec:
    workload: Workload
    about: str = ""
    name: str = "mosec"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> RunningServer:
        bin_directory = environment("mosec", ("mosec", ONNXRUNTIME))
        settings = "own format, max_batch_size 64, max_wait_time 1 ms, 1 worker, 1 intra-op thread"
        self.about = f"{versions(bin_directory, ('mosec', ONNXRUNTIME))}, {settings}"
        port = free_port()
        command = [str(bin_directory / "python"), str(APPS / "mosec_worker.py")]
        command += ["--address=127.0.0.1", f"--port={port}"]
        dialect = raw_or_json_rows("/inference", "input", "output")
        return start_peer("mosec", self.workload, command, port, "/", dialect=dialect)
