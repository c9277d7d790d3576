"""The real tritonserver with its ONNX Runtime backend: the same model and repository as despina's."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contender import RunningServer
from benchmarks.measurement import Kind
from benchmarks.peers.pytriton_wheel import PyTritonWheel
from benchmarks.peers.triton_backends import TritonBackends
from benchmarks.repository import Batching, write_repository
from benchmarks.workload import Workload


@dataclass(slots=True)
class TritonServerOnnxRuntime:
    workload: Workload
    batching: Batching
    about: str = ""
    name: str = "tritonserver-onnxruntime"
    kinds: Sequence[Kind] = ("binary", "json")

    def start(self) -> RunningServer:
        backends = TritonBackends.named()
        wheel = PyTritonWheel.install()
        self.about = f"{wheel}, ONNX Runtime backend with ONNX Runtime {backends.onnxruntime_version}, {self.batching}"
        repository = write_repository(self.name, [self.workload.name], self.batching)
        return wheel.start(self.name, self.workload, repository, backends.directory, self.kinds)
