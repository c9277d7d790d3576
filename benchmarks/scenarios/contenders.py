"""Despina and tritonserver with its ONNX Runtime backend, on the same repository with the models of all scenarios."""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import loadgen
from benchmarks.contender import RunningServer
from benchmarks.despina_server import start_despina
from benchmarks.measurement import KINDS, Kind, Point
from benchmarks.peers.pytriton_wheel import PyTritonWheel
from benchmarks.peers.triton_backends import TritonBackends
from benchmarks.places import OUT
from benchmarks.scenarios.answers import FirstAnswers
from benchmarks.scenarios.region import Region
from benchmarks.scenarios.scenario import Exchange, Scenario
from benchmarks.server_process import ServerProcess, free_port, start

CACHE = "--cache-config=local,size=100000000"
"""Bytes: enough for all answers that are to be found in it."""
SHARED_MEMORY = "--allow-client-shm=true"
"""Tritonserver 2.51 allows it without a flag."""
START_S = 60.0


@dataclass(slots=True)
class RunningScenarios(RunningServer):
    """A server that is started anew when it ended under a scenario, so that the others can be measured."""

    scenarios: Mapping[tuple[str, Kind], Scenario] = field(default_factory=dict)
    first: FirstAnswers = field(default_factory=FirstAnswers)
    start: Callable[[], ServerProcess] | None = None
    region: Region = field(kw_only=True)

    def exchanges(self, point: Point) -> list[Exchange]:
        return self.scenarios[point.model, point.kind].exchanges()

    def requests(self, point: Point) -> list[bytes]:
        return [exchange.request for exchange in self.exchanges(point)]

    def verify(self, point: Point) -> None:
        if self.start is not None and self.server.process.poll() is not None:
            self.server = self.start()
        self.first.verify(self.server.port, point, self.exchanges(point), self.region)


def running(
    start_server: Callable[[], ServerProcess], scenarios: Sequence[Scenario], first: FirstAnswers, region: Region
) -> RunningScenarios:
    """Raises NotStarted, and OSError where the server does not take the region."""

    def start() -> ServerProcess:
        server = start_server()
        try:
            region.register(server.port)
        except BaseException:
            server.stop()
            raise
        return server

    by_point: dict[tuple[str, Kind], Scenario] = {(each.name, each.kind): each for each in scenarios}
    generate = partial(loadgen.generate, in_turn=True)
    return RunningScenarios(start(), {}, generate=generate, scenarios=by_point, first=first, start=start, region=region)


@dataclass(frozen=True, slots=True)
class DespinaScenarios:
    repository: Path
    scenarios: Sequence[Scenario]
    first: FirstAnswers
    region: Region
    flags: Sequence[str]
    name: str = "despina"
    kinds: Sequence[Kind] = KINDS

    @property
    def about(self) -> str:
        return f"despina {importlib.metadata.version('despina')}, flags {' '.join(self.flags)}"

    def start(self) -> RunningScenarios:
        start_server = partial(start_despina, f"{self.name}-scenarios", self.repository, self.flags)
        return running(start_server, self.scenarios, self.first, self.region)


@dataclass(slots=True)
class TritonScenarios:
    repository: Path
    scenarios: Sequence[Scenario]
    first: FirstAnswers
    region: Region
    about: str = ""
    name: str = "tritonserver-onnxruntime"
    kinds: Sequence[Kind] = KINDS

    def start(self) -> RunningScenarios:
        backends = TritonBackends.named()
        wheel = PyTritonWheel.install()
        self.about = f"{wheel}, ONNX Runtime backend with ONNX Runtime {backends.onnxruntime_version}, flag {CACHE}"
        start_server = partial(self._start_server, wheel, backends.directory)
        return running(start_server, self.scenarios, self.first, self.region)

    def _start_server(self, wheel: PyTritonWheel, backends: Path) -> ServerProcess:
        port = free_port()
        command = [*wheel.command(port, self.repository, backends), f"--cache-directory={wheel.caches}", CACHE]
        log = OUT / "logs" / f"{self.name}-scenarios.log"
        return start(command, port, log, "/v2/health/ready", START_S, {"ORT_DISABLE_TELEMETRY": "1"})
