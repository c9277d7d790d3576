"""A deployed service as a contender: its gate is asked, all its processes are counted."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import loadgen
from benchmarks.contender import V2, RunningServer
from benchmarks.latencies import quantile
from benchmarks.measurement import Kind, Load, Point, Round
from benchmarks.peers.dialects import json_rows
from benchmarks.places import HERE
from benchmarks.server_process import NotStarted
from benchmarks.workload import Workload
from despina.deploy.deploy_request import DeployRequest
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import EnvironmentSpec
from despina.deploy.folder import ServiceFolder
from despina.deploy.home import Home
from despina.deploy.registry import Registry
from despina.deploy.running import guard_pid
from despina.deploy.service import State
from despina.deploy.services import Services
from despina.deploy.supervisor.listening import tree
from despina.errors import NotFound

SCRIPTS = HERE / "deployment_scripts"
SCORE = json_rows("/score", "data", "result", nested=True)


@dataclass(slots=True)
class Seen:
    """What a table of rounds has no column for. `p95_us`: of every round; `memory_mb`: the most after a round."""

    p95_us: list[float] = field(default_factory=list)
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class DeployedProcess:
    """The part of a server's process that the harness asks for. A service does not poll, so nobody suspends it."""

    services: Services
    name: str
    port: int
    pid: int

    def stop(self) -> None:
        self.services.delete(self.name)


@dataclass(slots=True)
class DeployedService:
    """One mode. `script` None is direct; `model` is a registered id; `seen` is filled while it is measured.

    `gated` False passes by the gate, straight to the server: what the gate costs is the difference.
    """

    home: Home
    name: str
    model: str
    workload: Workload
    about: str
    script: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    gated: bool = True
    kinds: Sequence[Kind] = ("json",)
    seen: dict[Point, Seen] = field(default_factory=dict)

    def start(self) -> "RunningService":
        """Raises NotStarted with the end of its log."""
        services = Services(self.home, Registry(self.home))
        environment = EnvironmentSpec("benchmark", variables=self.variables)
        inference = None if self.script is None else InferenceSpec(self.script, SCRIPTS, environment)
        try:
            services.deploy(DeployRequest(self.name, [self.model], inference=inference, overwrite=True))
            state = services.wait(self.name)
            pid = guard_pid(ServiceFolder(self.home.services / self.name))
            if state.state is not State.RUNNING or pid is None:
                raise NotStarted(f"{state.error}: {' '.join(state.log[-5:])}")
        except BaseException:
            # Nobody knows of it yet who would stop it, and it goes on by itself.
            with suppress(NotFound):
                services.delete(self.name)
            raise
        server_port = int((state.server_url or "").rpartition(":")[2] or 0)
        port = services.get(self.name)[0].port if self.gated else server_port
        process = DeployedProcess(services, self.name, port, pid)
        return RunningService(
            process,  # type: ignore[arg-type]  # all that is asked of it
            {self.workload.name: self.workload},
            V2 if self.script is None else SCORE,
            counts_batches=state.server_url is not None,
            seen=self.seen,
        )


@dataclass(slots=True)
class RunningService(RunningServer):
    """A service under load."""

    seen: dict[Point, Seen] = field(kw_only=True)
    histogram: dict[int, int] = field(default_factory=dict)
    """Of the latencies in the round before."""

    def __post_init__(self) -> None:
        self.generate = self._generate

    def measure(self, point: Point, seconds: float) -> Round:
        taken = RunningServer.measure(self, point, seconds)
        seen = self.seen.setdefault(point, Seen())
        seen.p95_us.append(quantile(self.histogram, 0.95))
        seen.memory_mb = max(seen.memory_mb, tree_memory_mb(self.server.pid))
        return taken

    def _generate(
        self, port: int, connections: int, seconds: float, requests: Sequence[Path], rate: float, seed: int
    ) -> Load:
        told = loadgen.tell(port, connections, seconds, requests, rate, seed)
        self.histogram = dict(told["histogram"])
        return loadgen.read_load(told)


def tree_memory_mb(pid: int) -> float:
    """Megabytes of a process and its descendants; what several share counts once (proportional set size)."""
    return sum(_proportional_kb(one) for one in tree(pid)) * 1024 / 1e6


def _proportional_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
