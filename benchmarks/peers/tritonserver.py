"""The real tritonserver, as nvidia-pytriton carries it: its C++ front end and scheduler, and the Python backend only.

The binary runs a plain model repository. The Python backend's stub embeds Debian's interpreter, in isolated mode, so
the model file itself has to say where numpy lies.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.environment import environment, installed, site_packages
from benchmarks.peers.peer import APPS, ONNXRUNTIME, start_peer
from benchmarks.places import PEERS
from benchmarks.requests import DATATYPES
from benchmarks.server_process import NotStarted, free_port
from benchmarks.workload import Workload

PYTHON = "/usr/bin/python3"
PYTRITON = "nvidia-pytriton==0.7.0"
REQUIREMENTS = (PYTRITON, ONNXRUNTIME)
VERSION = "2.51"


@dataclass(slots=True)
class TritonServer:
    workload: Workload
    about: str = ""
    name: str = "tritonserver"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> RunningServer:
        if not os.access(PYTHON, os.X_OK):
            raise NotStarted(f"needs Debian's {PYTHON}")
        bin_directory = environment("tritonserver", REQUIREMENTS, PYTHON)
        home = site_packages(bin_directory) / "pytriton" / "tritonserver"
        version = installed(bin_directory, "nvidia-pytriton")
        self.about = (
            f"tritonserver {VERSION} from nvidia-pytriton {version}, Python backend (it carries no other), "
            "max_batch_size 64, dynamic_batching delay 0 us, 1 instance, 1 intra-op thread"
        )
        install_stub(home, bin_directory)
        repository = PEERS / "tritonserver-models"
        write_repository(repository, self.workload, site_packages(bin_directory))
        port = free_port()
        command = [str(home / "bin" / "tritonserver"), f"--model-repository={repository}"]
        command += [f"--backend-directory={home / 'backends'}", f"--http-port={port}", "--http-address=127.0.0.1"]
        flags = ["--allow-grpc=false", "--allow-metrics=false"]
        return start_peer(
            "tritonserver", self.workload, [*command, *flags], port, "/v2/health/ready", counts_batches=True
        )


def install_stub(home: Path, bin_directory: Path) -> None:
    """Put the stub of this interpreter's version where the Python backend looks for it."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    said = subprocess.run([str(bin_directory / "python"), "-c", code], capture_output=True, text=True, check=True)
    stub = home / "python_backend_stubs" / said.stdout.strip() / "triton_python_backend_stub"
    if not stub.exists():
        raise NotStarted(f"{PYTRITON} has no stub for Python {said.stdout.strip()}")
    for program in (Path(shutil.copy(stub, home / "backends" / "python")), home / "bin" / "tritonserver"):
        program.chmod(0o755)


def write_repository(root: Path, workload: Workload, packages: Path) -> None:
    """The model as a Python model: the identity passes its tensors on, everything else runs ONNX Runtime."""
    shutil.rmtree(root, ignore_errors=True)
    version = root / workload.name / "1"
    version.mkdir(parents=True)
    app = "triton_identity.py" if workload.name == "identity" else "triton_onnx.py"
    paths = f"import sys\n\nsys.path[:0] = [{str(packages)!r}, {str(APPS)!r}]\n"
    (version / "model.py").write_text(paths + (APPS / app).read_text())
    (root / workload.name / "config.pbtxt").write_text(config_text(workload))


def config_text(workload: Workload) -> str:
    lines = [f'name: "{workload.name}"', 'backend: "python"', "max_batch_size: 64", "dynamic_batching { }"]
    lines.append("instance_group [ { kind: KIND_CPU count: 1 } ]")
    for name, rows in workload.inputs.items():
        lines.append(_tensor("input", name, DATATYPES[rows.dtype.name], rows.shape[1:]))
    answer = workload.expected
    lines.append(_tensor("output", workload.output, DATATYPES[answer.dtype.name], answer.shape[1:]))
    return "\n".join(lines) + "\n"


def _tensor(side: str, name: str, datatype: str, shape: Sequence[int]) -> str:
    return f'{side} [ {{ name: "{name}" data_type: TYPE_{datatype} dims: {list(shape)} }} ]'
