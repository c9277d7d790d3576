"""A tritonserver and a despina on copies of the same repository."""

import http.client
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from benchmarks.peers.pytriton_wheel import PyTritonWheel
from benchmarks.peers.triton_backends import TritonBackends
from benchmarks.server_process import ServerProcess, free_port, grpc_flags, start
from tests.conformance import replay
from tests.fuzz.corpus import REPOSITORY, Good

LOADED = ("--allow-metrics=false", "--model-control-mode=explicit", "--load-model=*")
METRICS = "/metrics"
"""The path that is asked for at the port for metrics."""
TIMEOUT_S = 20

MakeRepository = Callable[[Path], None]
"""Makes the repository of one server."""


@dataclass
class Contestant:
    """A server that is started again when a request has ended it."""

    command: Sequence[str]
    folder: Path
    server: ServerProcess | None = None
    metrics_port: int = 0
    grpc: bool = False
    """Whether it serves gRPC."""
    channel: Any = None
    """gRPC's, to the server that runs now."""
    kept: http.client.HTTPConnection | None = None
    """The connection of requests that share one."""

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def ask(self, request: Good, *, keep: bool = False) -> replay.Response | None:
        """The answer; None when there was none that is HTTP. A server that does not answer in time is ended. Requests
        that `keep` their connection share it."""
        server = self.server or self._start()
        port = self.metrics_port if request.path == METRICS else server.port
        sent = {"method": request.method, "path": request.path, "headers": request.headers, "body": request.body}
        try:
            answer = self._send_on(request) if keep else replay.send("127.0.0.1", port, sent, TIMEOUT_S)
            answer.body = answer.body.replace(str(self.folder).encode(), b"{FOLDER}")
            return answer
        except TimeoutError:
            self.stop()
            return None
        except (OSError, http.client.HTTPException):
            self._hang_up()
            try:
                server.process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                return None
            self.stop()
            return None

    def _send_on(self, request: Good) -> replay.Response:
        assert self.server is not None
        if self.kept is None:
            self.kept = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=TIMEOUT_S)
        self.kept.putrequest(request.method, request.path, skip_accept_encoding=True)
        for name, value in request.headers:
            self.kept.putheader(name, value)
        self.kept.endheaders(request.body or None)
        answer = self.kept.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() in replay.KEEP}
        return replay.Response(answer.status, headers, answer.read())

    def _hang_up(self) -> None:
        if self.kept is not None:
            self.kept.close()
        self.kept = None

    def _start(self) -> ServerProcess:
        port, self.metrics_port, grpc_port = free_port(), free_port(), free_port() if self.grpc else 0
        command = [*self.command, f"--http-port={port}", f"--metrics-port={self.metrics_port}", *grpc_flags(grpc_port)]
        environment = {"ORT_DISABLE_TELEMETRY": "1"}
        self.server = start(command, port, self.folder / "log", "/v2/health/live", environment=environment)
        self.server.grpc_port = grpc_port
        return self.server

    def dial(self) -> Any:
        """The channel to the server, which is started where it does not run."""
        server = self.server or self._start()
        if self.channel is None:
            # Of its own, so that it does not share the broken connections of another one.
            options = (("grpc.use_local_subchannel_pool", 1),)
            self.channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options)
        return self.channel

    def stop(self) -> None:
        self._hang_up()
        if self.channel is not None:
            self.channel.close()
        self.channel = None
        if self.server is not None:
            self.server.stop()
        self.server = None


@dataclass
class Pair:
    """Both, in the order of `ask`'s answers. When one of them has to start again, so does the other: what requests
    changed before is the same in both then."""

    triton: Contestant
    despina: Contestant

    def ask(self, request: Good, *, keep: bool = False) -> tuple[replay.Response | None, replay.Response | None]:
        answers = self.triton.ask(request, keep=keep), self.despina.ask(request, keep=keep)
        if self.triton.server is None or self.despina.server is None:
            self.stop()
        return answers

    def stop(self) -> None:
        self.triton.stop()
        self.despina.stop()


def copy_repository(target: Path) -> None:
    shutil.copytree(REPOSITORY, target)


@contextmanager
def both(
    folder: Path,
    flags: Sequence[str] = LOADED,
    make_repository: MakeRepository = copy_repository,
    *,
    grpc: bool = False,
) -> Iterator[Pair]:
    """`{FOLDER}` in a flag is a folder of the server's own; `grpc` where they are asked over gRPC, too. Raises
    NotStarted where there is no tritonserver."""
    backends = TritonBackends.named()
    program = str(PyTritonWheel.install().program)
    triton = [program, f"--backend-directory={backends.directory}"]
    triton.append(f"--cache-directory={program.removesuffix('bin/tritonserver')}caches")
    despina = [sys.executable, "-m", "despina", "serve", "--allow-client-shm=true"]
    commands = {"tritonserver": triton, "despina": despina}
    contestants = []
    for name, command in commands.items():
        make_repository(folder / name / "repository")
        said = [f"--model-repository={folder / name}/repository", "--http-address=127.0.0.1", *flags]
        said = [flag.replace("{FOLDER}", str(folder / name)) for flag in said]
        contestants.append(Contestant([*command, *said], folder / name, grpc=grpc))
    pair = Pair(*contestants)
    try:
        yield pair
    finally:
        pair.stop()
