"""A tritonserver and a despina on copies of the same repository."""

import http.client
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.pytriton_wheel import PyTritonWheel
from benchmarks.peers.triton_backends import TritonBackends
from benchmarks.server_process import ServerProcess, free_port, start
from tests.conformance import replay
from tests.fuzz.corpus import REPOSITORY, Good

FLAGS = ("--http-address=127.0.0.1", "--allow-metrics=false", "--model-control-mode=explicit", "--load-model=*")
TIMEOUT_S = 20


@dataclass
class Contestant:
    """A server that is started again when a request has ended it."""

    command: Sequence[str]
    log: Path
    server: ServerProcess | None = None
    ended: int = 0

    def ask(self, request: Good) -> replay.Response | None:
        """The answer; None when there was none that is HTTP. A server that does not answer in time is ended."""
        server = self.server or self._start()
        sent = {"method": request.method, "path": request.path, "headers": request.headers, "body": request.body}
        try:
            return replay.send("127.0.0.1", server.port, sent, TIMEOUT_S)
        except TimeoutError:
            self.stop()
            return None
        except (OSError, http.client.HTTPException):
            try:
                server.process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                return None
            self.ended += 1
            self.stop()
            return None

    def _start(self) -> ServerProcess:
        port = free_port()
        command = [*self.command, f"--http-port={port}"]
        environment = {"ORT_DISABLE_TELEMETRY": "1"}
        self.server = start(command, port, self.log, "/v2/health/ready", environment=environment)
        return self.server

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
        self.server = None


@dataclass
class Pair:
    """Both, in the order of `ask`'s answers. When one of them has to start again, so does the other: what requests
    changed before is the same in both then."""

    triton: Contestant
    despina: Contestant

    def ask(self, request: Good) -> tuple[replay.Response | None, replay.Response | None]:
        answers = self.triton.ask(request), self.despina.ask(request)
        if self.triton.server is None or self.despina.server is None:
            self.stop()
        return answers

    def stop(self) -> None:
        self.triton.stop()
        self.despina.stop()


@contextmanager
def both(folder: Path) -> Iterator[Pair]:
    """Raises NotStarted where there is no tritonserver."""
    backends = TritonBackends.named()
    program = str(PyTritonWheel.install().program)
    triton = [program, f"--backend-directory={backends.directory}", "--allow-grpc=false"]
    despina = [sys.executable, "-m", "despina", "serve", "--allow-client-shm=true"]
    pair = Pair(_contestant("tritonserver", triton, folder), _contestant("despina", despina, folder))
    try:
        yield pair
    finally:
        pair.stop()


def _contestant(name: str, command: Sequence[str], folder: Path) -> Contestant:
    repository = folder / name / "repository"
    shutil.copytree(REPOSITORY, repository)
    return Contestant([*command, f"--model-repository={repository}", *FLAGS], folder / name / "log")
