"""One server has the port, and as soon as the one before has gone."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.front_ends import server, until
from tests.support.serving import free_port, wait_until_live


def starting(repository: Path, address: str, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "despina", "serve", f"--model-repository={repository}", f"--http-port={port}"]
    command += [f"--http-address={address}", "--allow-metrics=false", "--allow-grpc=false", "--http-workers=2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_port_in_use_is_refused(repository: Path) -> None:
    with server(repository, []) as serving:
        second = starting(repository, "127.0.0.1", serving.port)
        log = second.communicate(timeout=60)[1]
        assert second.returncode == 1
        assert b"already in use" in log


@pytest.mark.parametrize("other", ["127.0.0.1", "0.0.0.0"])
def test_of_two_servers_that_start_together_one_gets_the_port(repository: Path, other: str) -> None:
    port = free_port()
    both = [starting(repository, address, port) for address in ("127.0.0.1", other)]
    try:
        until(lambda: any(process.poll() is not None for process in both))
        (second,) = [process for process in both if process.poll() is not None]
        (first,) = [process for process in both if process is not second]
        log = second.communicate(timeout=60)[1]
        assert second.returncode == 1
        assert b"already in use" in log
        wait_until_live(first, port)
    finally:
        for process in both:
            process.terminate()
            process.communicate(timeout=30)


def test_a_port_is_free_at_once_when_its_server_is_killed(repository: Path) -> None:
    with server(repository, []) as serving:
        serving.connections_to_both()
        serving.process.kill()
        serving.process.wait()
        with server(repository, [], serving.port) as again:
            assert again.ask("GET", "/v2/health/ready")[0] == 200
