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
from benchmarks.server_process import free_port, start
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
        port = free_port()
        command = [sys.executable, "-m", "despina", "serve", f"--model-repository={self.repository}"]
        command += [f"--http-port={port}", "--http-address=127.0.0.1", *self.flags]
        log = OUT / "logs" / f"{self.name.replace(' ', '-')}.log"
        server = start(command, port, log, "/v2/health/ready", environment={"ORT_DISABLE_TELEMETRY": "1"})
        return RunningServer(server, self.workloads, counts_batches=True, generate=self.generate)
