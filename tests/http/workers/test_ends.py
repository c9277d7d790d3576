"""Front ends, or their owner, that are killed, hang or do not start."""

import asyncio
import http.client
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.front_ends import IMPATIENT, TWO_NUMBERS, post, server, until
from tests.support.serving import free_port

from despina.http.workers.front_process import start_process
from despina.http.workers.held_port import share_port
from despina.http.workers.supervisor import WorkerListener, reserve_port
from despina.scheduling.outbox import Outbox
from despina.settings import Settings
from despina.telemetry.logging import LogSettings


def shared_memory_of(pid: int) -> int:
    """Arenas that a process has open."""
    return sum("memfd:despina-" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


def test_a_killed_front_end_is_replaced_and_the_other_goes_on(repository: Path) -> None:
    with server(repository, []) as serving:
        connections = serving.connections_to_both()
        for connection in connections * 2:
            post(connection, "quick", TWO_NUMBERS)
        before = serving.front_ends()
        connections[0].request("POST", "/v2/models/slow/infer", TWO_NUMBERS)  # under way when its front end dies
        os.kill(before[0], signal.SIGKILL)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            connections[0].getresponse()
        post(connections[1], "quick", TWO_NUMBERS)
        until(lambda: serving.has_replaced(before[0]))
        until(lambda: shared_memory_of(serving.process.pid) == 4)
        replaced = serving.connections_to_both()
        for connection in replaced * 2:
            post(connection, "quick", TWO_NUMBERS)
            post(connections[1], "quick", TWO_NUMBERS)
        assert serving.process.poll() is None


def test_front_ends_end_with_their_owner_even_those_that_hang(repository: Path) -> None:
    with server(repository, []) as serving:
        pids = serving.front_ends_that_listen()
        os.kill(pids[0], signal.SIGSTOP)
        serving.process.kill()
        serving.process.wait()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", serving.port))
            sock.listen()


def test_a_front_end_that_hangs_is_replaced_and_one_that_pauses_is_not(repository: Path) -> None:
    with server(repository, [], program=("-c", IMPATIENT)) as serving:
        connections = serving.connections_to_both()
        hanging, pausing = serving.front_ends()
        for pid in (hanging, pausing):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)  # several beats
        os.kill(pausing, signal.SIGCONT)
        until(lambda: serving.has_replaced(hanging))
        assert pausing in serving.front_ends()
        post(connections[1], "quick", TWO_NUMBERS)
        replaced = serving.connections_to_both()
        for connection in replaced:
            post(connection, "quick", TWO_NUMBERS)


def test_a_front_end_that_hangs_does_not_keep_the_server_from_exiting(repository: Path) -> None:
    with server(repository, [], program=("-c", IMPATIENT)) as serving:
        os.kill(serving.front_ends_that_listen()[0], signal.SIGSTOP)
        serving.process.terminate()
        assert serving.process.wait(timeout=20) == 0


def test_a_front_end_that_starts_while_the_server_stops_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(model_repository=(), http_address="127.0.0.1", http_port=free_port(), http_workers=2)
    server: Any = SimpleNamespace(settings=settings, logging=LogSettings(), outbox=Outbox())
    application: Any = None

    async def run(reserved: socket.socket) -> str:
        listener = WorkerListener(server, reserved, application)

        async def start_late(descriptors: Sequence[int]) -> asyncio.subprocess.Process:
            listener._stopping.set()  # what `stop` begins with
            return await start_process(descriptors)

        monkeypatch.setattr("despina.http.workers.supervisor.start_process", start_late)
        async with asyncio.timeout(20):
            return await listener._run_one(lambda: None)

    with reserve_port(settings) as reserved:
        share_port(reserved)
        assert asyncio.run(run(reserved)) == "ended with 0"


def arrived(process: subprocess.Popen[bytes], log: bytearray) -> bytearray:
    """`log`, and what has come on the standard error output since."""
    assert process.stderr is not None
    log += process.stderr.read() or b""
    return log


def test_a_front_end_that_cannot_be_started_is_tried_again(repository: Path) -> None:
    with server(repository, []) as serving:
        pid = serving.front_ends_that_listen()[0]
        soft, hard = resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (3, hard))
        os.kill(pid, signal.SIGKILL)
        assert serving.process.stderr is not None
        os.set_blocking(serving.process.stderr.fileno(), False)
        log = bytearray()
        until(lambda: b"could not be started (Too many open files)" in arrived(serving.process, log))
        resource.prlimit(serving.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        until(lambda: len(serving.front_ends()) == 2)
        serving.front_ends_that_listen()
        until(lambda: shared_memory_of(serving.process.pid) == 4)
        serving.process.terminate()
        assert serving.process.wait(timeout=20) == 0


def test_what_a_front_end_inherits_is_not_kept_open_by_its_owner(repository: Path) -> None:
    with server(repository, []) as serving:
        owner, front_end = (
            {os.readlink(descriptor) for descriptor in Path(f"/proc/{pid}/fd").iterdir()}
            for pid in (serving.process.pid, serving.front_ends_that_listen()[0])
        )
        assert not {link for link in owner & front_end if link.startswith("socket:")}
