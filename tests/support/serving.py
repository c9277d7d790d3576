"""Starts a server for a test and stops it again."""

import http.client
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.server_process import free_port

START_TIMEOUT_S = 60
REPOSITORY = Path(__file__).parents[1] / "conformance" / "repo_main"
"""Models of many kinds, those that a real tritonserver served for `tests/conformance`."""


@contextmanager
def serving(repository: Path, flags: Sequence[str]) -> Iterator[int]:
    """The port of a server that is live."""
    flags = ["--allow-metrics=false", *flags]
    with tempfile.TemporaryDirectory() as folder, running(repository, flags, Path(folder, "log")) as (_, port):
        yield port


@contextmanager
def running(repository: Path, flags: Sequence[str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process of a server that is live, and its port. What it says goes to `log`. Raises TimeoutExpired when it
    does not end within 30 s."""
    port = free_port()
    command = [sys.executable, "-m", "despina", "serve", f"--model-repository={repository}", f"--http-port={port}"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--http-address=127.0.0.1", "--allow-grpc=false", *flags], stdout=stream, stderr=stream
        )
    try:
        try:
            wait_until_live(process, port)
        except AssertionError as error:
            error.add_note(log.read_text()[-2000:])
            raise
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def wait_until_live(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            said = process.stderr.read().decode()[-2000:] if process.stderr is not None else "see its log"
            raise AssertionError(f"the server ended with {process.returncode}: {said}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v2/health/live")
            if connection.getresponse().status in (200, 403):
                return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise AssertionError("the server is not live")
