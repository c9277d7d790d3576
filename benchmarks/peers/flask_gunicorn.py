"""gunicorn with a Flask score.py, two workers."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.dialects import json_rows
from benchmarks.peers.environment import environment, versions
from benchmarks.peers.peer import ONNXRUNTIME, start_peer
from benchmarks.server_process import free_port
from benchmarks.workload import Workload

REQUIREMENTS = ("flask", "gunicorn", ONNXRUNTIME)


@dataclass(slots=True)
class FlaskGunicorn:
    workload: Workload
    about: str = ""
    name: str = "gunicorn + Flask"
    kinds: Sequence[Kind] = ("json",)

    def start(self) -> RunningServer:
        bin_directory = environment("flask", REQUIREMENTS)
        settings = "2 sync workers (no keep-alive), no batching, 1 intra-op thread each"
        self.about = f"{versions(bin_directory, REQUIREMENTS)}, {settings}"
        port = free_port()
        command = [str(bin_directory / "gunicorn"), "--workers=2", f"--bind=127.0.0.1:{port}", "flask_score:app"]
        dialect = json_rows("/score", "data", "result", nested=True)
        return start_peer("flask", self.workload, command, port, "/health", dialect=dialect)
