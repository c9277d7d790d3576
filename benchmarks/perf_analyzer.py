"""perf_analyzer, Triton's own load generator, as a second opinion and a test of compatibility.

The binary lies in the wheel of tritonclient 2.51.0; it wants libb64 (Debian: apt-get install libb64-0d) and libcudart
12. It costs as much CPU as a server, so its numbers are about compatibility, not about speed.
"""

import csv
import ctypes.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.cells import table_row
from benchmarks.despina_server import Despina
from benchmarks.environment import machine, versions
from benchmarks.peers.environment import environment, site_packages
from benchmarks.peers.pytriton_wheel import PyTritonWheel
from benchmarks.peers.tritonserver import TritonServer
from benchmarks.places import OUT, PEERS
from benchmarks.publish import target_of, write_results
from benchmarks.raw import make_workload
from benchmarks.repository import Batching, write_repository
from benchmarks.server_process import NotStarted
from benchmarks.suites import Effort

MODES: Mapping[str, Sequence[str]] = {
    "binary": (),
    "json": ("--input-tensor-format=json", "--output-tensor-format=json"),
    "system shared memory": ("--shared-memory=system", "--output-shared-memory-size=65536"),
    "binary, asynchronous": ("--async",),
}
SHOWN = ("Inferences/Second", "p50 latency", "p99 latency")


@dataclass(frozen=True, slots=True)
class Program:
    """perf_analyzer and the directory of the libraries it lacks."""

    path: Path
    libraries: Path

    def run(self, port: int, model: str, connections: int, seconds: float, flags: Sequence[str]) -> dict[str, str]:
        """The columns of its report for one number of connections. Raises CalledProcessError."""
        report = OUT / "perf_analyzer.csv"
        window = max(500, int(seconds * 1000))
        command = [str(self.path), "-m", model, "-u", f"127.0.0.1:{port}", "-i", "http", "-b", "1", "-f", str(report)]
        # Its idea of a stable measurement is not wanted: one window, as it comes.
        command += [f"--concurrency-range={connections}", "-p", str(window), "-s", "999", "--percentile=99"]
        variables = {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}
        subprocess.run([*command, *flags], check=True, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        (row,) = csv.DictReader(report.read_text().splitlines())
        return row


def program() -> Program:
    """Install it. Raises NotStarted with the reason."""
    requirements = ("tritonclient==2.51.0", "nvidia-cuda-runtime-cu12")
    bin_directory = environment("perf-analyzer", requirements)
    libraries = PEERS / "perf-analyzer" / "libraries"
    libraries.mkdir(exist_ok=True)
    cudart = site_packages(bin_directory) / "nvidia" / "cuda_runtime" / "lib" / "libcudart.so.12"
    link(libraries / "libcudart.so.12", cudart)
    if ctypes.util.find_library("b64") is None:
        link(libraries / "libb64.so.0d", bundled_libb64())
    path = bin_directory / "perf_analyzer"
    path.chmod(0o755)
    return Program(path, libraries)


def bundled_libb64() -> Path:
    """The copy that nvidia-pytriton carries, for machines where Debian's package is not installed."""
    found = sorted((PyTritonWheel.install().packages / "nvidia_pytriton.libs").glob("libb64-*"))
    if not found:
        raise NotStarted("perf_analyzer needs libb64.so.0d (Debian: apt-get install libb64-0d)")
    return found[0]


def link(name: Path, target: Path) -> None:
    name.unlink(missing_ok=True)
    name.symlink_to(target)


def report(server: str, effort: Effort, save: str) -> None:
    """Run every mode against `server` and print, or save, a table. Raises NotStarted."""
    analyzer = program()
    workload = make_workload("mlp")
    if server == "despina":
        flags = ("--allow-metrics=false", "--allow-client-shm=true", *effort.flags)
        repository = write_repository("perf-analyzer", ["mlp"], Batching())
        contender: Despina | TritonServer = Despina(repository, {"mlp": workload}, str(Batching()), flags=flags)
    else:
        contender = TritonServer(workload)
    running = contender.start()
    rows: list[list[str]] = []
    raw: list[dict[str, Any]] = []
    try:
        for mode, extra in MODES.items():
            for connections in effort.connections:
                print(f"perf_analyzer: {mode}, {connections} connections", file=sys.stderr)
                found = _columns(analyzer, running.server.port, connections, effort, extra)
                raw.append({"mode": mode, "connections": connections, **found})
                rows.append([mode, str(connections), *(found.get(name, "") for name in SHOWN)])
    finally:
        running.stop()
    options = {"seconds": effort.seconds, "perf_analyzer": "2.51.0"}
    told = {"machine": machine(), "versions": versions(), "options": options}
    facts = [f"- {', '.join(f'{name} {value}' for name, value in part.items())}" for part in told.values()]
    head = ["mode", "connections", "inferences/s", "p50 us", "p99 us"]
    lines = [f"# perf_analyzer 2.51.0 on {server}, mlp", "", *facts, f"- {contender.about}", ""]
    lines += [table_row(head), table_row(["---"] * len(head)), *(table_row(row) for row in rows), ""]
    record = {**told, "about": contender.about, "rows": raw}
    write_results(record, "\n".join(lines), target_of(f"perf-analyzer-{server}", save))


def _columns(analyzer: Program, port: int, connections: int, effort: Effort, flags: Sequence[str]) -> Mapping[str, str]:
    """What it reports, or `failed`, and why, in the first column that is shown."""
    try:
        return analyzer.run(port, "mlp", connections, effort.seconds, flags)
    except subprocess.CalledProcessError as error:
        said = error.stdout.decode(errors="replace").strip().splitlines()[-1:] or [f"status {error.returncode}"]
        return {SHOWN[0]: f"failed: {said[0][:200]}"}
