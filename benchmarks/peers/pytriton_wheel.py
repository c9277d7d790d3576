"""What nvidia-pytriton carries: the real tritonserver, started on a plain model repository."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.environment import environment, installed, site_packages
from benchmarks.peers.peer import ONNXRUNTIME, start_peer
from benchmarks.server_process import NotStarted, free_port, grpc_flags
from benchmarks.workload import Workload

PYTHON = "/usr/bin/python3"
PYTRITON = "nvidia-pytriton==0.7.0"
VERSION = "2.51"


@dataclass(frozen=True, slots=True)
class PyTritonWheel:
    """An environment with it. The Python backend's stub embeds Debian's interpreter, so it is made for that one."""

    bin_directory: Path

    @classmethod
    def install(cls) -> Self:
        """Raises NotStarted where that cannot be."""
        if not os.access(PYTHON, os.X_OK):
            raise NotStarted(f"needs Debian's {PYTHON}")
        found = cls(environment("tritonserver", (PYTRITON, ONNXRUNTIME), PYTHON))
        found.program.chmod(0o755)
        return found

    @property
    def packages(self) -> Path:
        return site_packages(self.bin_directory)

    @property
    def home(self) -> Path:
        """Of tritonserver, its Python backend and the stubs for it."""
        return self.packages / "pytriton" / "tritonserver"

    @property
    def program(self) -> Path:
        return self.home / "bin" / "tritonserver"

    def __str__(self) -> str:
        return f"tritonserver {VERSION} from nvidia-pytriton {installed(self.bin_directory, 'nvidia-pytriton')}"

    @property
    def caches(self) -> Path:
        """What --cache-directory is to name, for models that keep answers."""
        return self.home / "caches"

    def command(self, port: int, repository: Path, backends: Path, grpc_port: int = 0) -> list[str]:
        """What serves a repository with the backends in a directory; gRPC only where it has a port."""
        command = [str(self.program), f"--model-repository={repository}", f"--backend-directory={backends}"]
        command += [f"--http-port={port}", "--http-address=127.0.0.1", "--allow-metrics=false"]
        return [*command, *grpc_flags(grpc_port)]

    def start(
        self, name: str, workload: Workload, repository: Path, backends: Path, kinds: Sequence[Kind]
    ) -> RunningServer:
        """Serve a repository with the backends in a directory. Raises NotStarted."""
        port, grpc_port = free_port(), free_port() if "grpc" in kinds else 0
        command = self.command(port, repository, backends, grpc_port)
        running = start_peer(name, workload, command, port, "/v2/health/ready", counts_batches=True)
        running.server.grpc_port = grpc_port
        return running
