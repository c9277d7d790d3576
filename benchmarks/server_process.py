"""A server as a process of its own: started, waited for, stopped."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


class NotStarted(Exception):
    """The server ended, or did not answer in time."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def grpc_flags(port: int) -> Sequence[str]:
    """Those of tritonserver, and of despina, for gRPC on a port of this machine; without it where the port is 0."""
    return (f"--grpc-port={port}", "--grpc-address=127.0.0.1") if port else ("--allow-grpc=false",)


@dataclass(slots=True)
class ServerProcess:
    """A running server, leader of a process group of its own. `grpc_port` is 0 where it does not serve gRPC."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def suspend(self) -> None:
        """Stop its clock: it must not use the cores while others are measured."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end, and end it when it does not. Whatever it left behind in its group goes too."""
        with suppress(ProcessLookupError):
            self.resume()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def start(
    command: Sequence[str],
    port: int,
    log: Path,
    ready_path: str,
    timeout_s: float = 60.0,
    environment: Mapping[str, str] | None = None,
) -> ServerProcess:
    """Start a server and wait until `GET ready_path` is answered by 200. Its output goes to `log`. Raises NotStarted
    with the end of the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    server = ServerProcess(process, port)
    try:
        _wait_until_ready(server, log, ready_path, time.monotonic() + timeout_s)
    except BaseException:
        server.stop()
        raise
    return server


def _wait_until_ready(server: ServerProcess, log: Path, path: str, end: float) -> None:
    while time.monotonic() < end:
        if server.process.poll() is not None:
            said = log.read_text(errors="replace")[-1500:]
            raise NotStarted(f"ended with status {server.process.returncode}: {said}")
        if answers(server.port, path):
            return
        time.sleep(0.05)
    raise NotStarted(f"not ready in time: {log.read_text(errors='replace')[-1500:]}")


def answers(port: int, path: str) -> bool:
    """Whether `GET path` gives 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
