"""The real tritonserver with its ONNX Runtime backend: the same model, repository and ONNX Runtime as despina's."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.pytriton_wheel import PyTritonWheel
from benchmarks.peers.triton_onnxruntime.runtime import Runtime
from benchmarks.peers.triton_onnxruntime.sources import BRANCH
from benchmarks.repository import Batching, write_repository
from benchmarks.server_process import NotStarted
from benchmarks.workload import Workload


@dataclass(slots=True)
class TritonServerOnnxRuntime:
    workload: Workload
    batching: Batching
    runtime: Runtime | None = None
    about: str = ""
    name: str = "tritonserver-onnxruntime"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> RunningServer:
        runtime = self.runtime or Runtime.installed()
        if not runtime.is_built:
            raise NotStarted(
                f"its backend for ONNX Runtime {runtime.version} is not there; it is built by "
                "python -m benchmarks.peers.triton_onnxruntime; see benchmarks/README.md"
            )
        wheel = PyTritonWheel.install()
        self.about = (
            f"{wheel}, ONNX Runtime backend built from the {BRANCH} sources with the library of onnxruntime "
            f"{runtime.version}'s wheel, {self.batching}"
        )
        repository = write_repository(self.name, [self.workload.name], self.batching)
        return wheel.start(self.name, self.workload, repository, runtime.backends)
