"""Despina as a contender."""

import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import loadgen
from benchmarks.contender import Generate, RunningServer
from benchmarks.measurement import Kind
from benchmarks.places import OUT
from benchmarks.server_process import ServerProcess, free_port, grpc_flags, start
from benchmarks.workload import Workload


@dataclass(frozen=True, slots=True)
class Despina:
    """`settings` says in words what its repository asks for; `flags` go to `despina serve` as they are."""

    repository: Path
    workloads: Mapping[str, Workload]
    settings: str
    name: str = "despina"
    flags: Sequence[str] = ()
    kinds: Sequence[Kind] = ("binary", "json")
    generate: Generate = loadgen.generate

    @property
    def about(self) -> str:
        version = importlib.metadata.version("despina")
        return f"despina {version}, flags {' '.join(self.flags) or 'none'}, {self.settings}"

    def start(self) -> RunningServer:
        grpc_port = free_port() if "grpc" in self.kinds else 0
        server = start_despina(self.name, self.repository, self.flags, grpc_port=grpc_port)
        return RunningServer(server, self.workloads, counts_batches=True, generate=self.generate)


def start_despina(
    name: str, repository: Path, flags: Sequence[str], timeout_s: float = 60.0, grpc_port: int = 0
) -> ServerProcess:
    """`despina serve` on a free port, and for gRPC on `grpc_port` unless that is 0, ready to be asked; its log is named
    after `name`. Raises NotStarted."""
    port = free_port()
    command = [sys.executable, "-m", "despina", "serve", f"--model-repository={repository}"]
    command += [f"--http-port={port}", "--http-address=127.0.0.1", *grpc_flags(grpc_port), *flags]
    log = OUT / "logs" / f"{name.replace(' ', '-')}.log"
    server = start(command, port, log, "/v2/health/ready", timeout_s, {"ORT_DISABLE_TELEMETRY": "1"})
    server.grpc_port = grpc_port
    return server
