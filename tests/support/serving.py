"""Starts a server for a test and stops it again."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def serving(repository: Path, flags: Sequence[str]) -> Iterator[int]:
    """The port of a server that is live."""
    port = free_port()
    command = [sys.executable, "-m", "despina", "serve", f"--model-repository={repository}", f"--http-port={port}"]
    command += ["--http-address=127.0.0.1", "--allow-metrics=false", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))
    try:
        wait_until_live(process, port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def wait_until_live(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            assert process.stderr is not None
            log = process.stderr.read().decode()[-2000:]
            raise AssertionError(f"the server ended with {process.returncode}: {log}")
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
