"""The real tritonserver with its Python backend, all that nvidia-pytriton carries.

The Python backend's stub embeds Debian's interpreter, in isolated mode, so the model file itself has to say where numpy
lies.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.environment import versions
from benchmarks.peers.peer import APPS, ONNXRUNTIME
from benchmarks.peers.pytriton_wheel import PYTRITON, PyTritonWheel
from benchmarks.places import PEERS
from benchmarks.requests import DATATYPES
from benchmarks.server_process import NotStarted
from benchmarks.workload import Workload


@dataclass(slots=True)
class TritonServer:
    workload: Workload
    about: str = ""
    name: str = "tritonserver"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> RunningServer:
        wheel = PyTritonWheel.install()
        self.about = (
            f"{wheel}, Python backend (it carries no other) with {versions(wheel.bin_directory, (ONNXRUNTIME,))}, "
            "max_batch_size 64, dynamic_batching delay 0 us, 1 instance, 1 intra-op thread"
        )
        install_stub(wheel)
        repository = PEERS / "tritonserver-models"
        write_repository(repository, self.workload, wheel.packages)
        return wheel.start("tritonserver", self.workload, repository, wheel.home / "backends", self.kinds)


def install_stub(wheel: PyTritonWheel) -> None:
    """Put the stub of this interpreter's version where the Python backend looks for it."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    command = [str(wheel.bin_directory / "python"), "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    stub = wheel.home / "python_backend_stubs" / said.stdout.strip() / "triton_python_backend_stub"
    if not stub.exists():
        raise NotStarted(f"{PYTRITON} has no stub for Python {said.stdout.strip()}")
    Path(shutil.copy(stub, wheel.home / "backends" / "python")).chmod(0o755)


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
