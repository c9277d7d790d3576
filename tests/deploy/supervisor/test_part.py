import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.services import alive

from despina.deploy.supervisor.child import Command, start_child
from despina.deploy.supervisor.commands import HOST, free_port
from despina.deploy.supervisor.listening import PROC
from despina.deploy.supervisor.part import Part, StartFailed

LISTEN = (
    "import http.server, sys, time\n"
    f"server = http.server.HTTPServer(('{HOST}', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)\n"
)
SERVER = LISTEN + "server.serve_forever()\n"
SHORT_LIVED = LISTEN + "server.handle_request()\ntime.sleep(0.4)\n"
FAILING_ONCE = (
    "import pathlib, sys\ntries = pathlib.Path('tries')\nwith tries.open('a') as file: file.write('x')\n"
    "if tries.stat().st_size == 2: sys.exit(3)\n" + SHORT_LIVED
)
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
WARMING_UP = (
    "import pathlib, socket, sys\nanswers = pathlib.Path('answers')\n"
    f"listener = socket.create_server(('{HOST}', int(sys.argv[1])))\n"
    "for answer in (b'503 Not yet', b'OK', b'', b'200 OK'):\n"
    "    connection, _ = listener.accept()\n"
    "    connection.recv(4096)\n"
    "    with answers.open('ab') as file: file.write(answer + b'\\n')\n"
    "    connection.sendall(b'HTTP/1.1 ' + answer + b'\\r\\n\\r\\n')\n"
    "    connection.close()\n"
    "listener.accept()\n"
)
MUTE = LISTEN + "time.sleep(60)\n"


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.deploy.supervisor.part.FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr("despina.deploy.supervisor.part.LONGEST_DELAY_SECONDS", 0.03)


def part(script: str, folder: Path, changed: Callable[[str | None], None], program: str = sys.executable) -> Part:
    port = free_port()
    command = Command("the server", [program, "-c", script, str(port)], os.environ, folder)
    return Part(command, port, "/", folder / "log", changed)


def test_part_that_is_stopped_does_not_come_back(tmp_path: Path) -> None:
    told: list[str | None] = []

    async def scenario() -> None:
        one = part(SERVER, tmp_path, told.append)
        await one.start(30)
        await one.stop()
        await asyncio.sleep(0.1)

    asyncio.run(scenario())
    assert told == []


def test_part_has_started_when_it_answers_with_200_and_not_with_anything_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = part(WARMING_UP, tmp_path, lambda reason: None)
        await one.start(30)
        await one.stop()

    asyncio.run(scenario())
    assert (tmp_path / "answers").read_text().splitlines() == ["503 Not yet", "OK", "", "200 OK"]


def test_part_that_does_not_end_when_asked_is_made_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = part(STUBBORN, tmp_path, lambda reason: None)
        await one.start(30)
        async with asyncio.timeout(10):
            await one.stop(0.1)

    asyncio.run(scenario())


@pytest.mark.parametrize(("steady", "delays"), [(60.0, ["0.01", "0.02", "0.03"]), (0.0, ["0.01", "0.01"])])
def test_part_that_dies_is_started_again_and_again_but_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steady: float, delays: list[str]
) -> None:
    monkeypatch.setattr("despina.deploy.supervisor.part.STEADY_SECONDS", steady)
    expected = [f"the server ended with status 0; it is started again in {delay} s" for delay in delays]
    told: list[str | None] = []

    async def scenario() -> None:
        enough = asyncio.Event()

        def changed(reason: str | None) -> None:
            told.append(reason)
            if told.count(None) == len(delays):
                enough.set()

        one = part(SHORT_LIVED, tmp_path, changed)
        await one.start(30)
        async with asyncio.timeout(30):
            await enough.wait()
        await one.stop()

    asyncio.run(scenario())
    assert told[: 2 * len(delays)] == [said for reason in expected for said in (reason, None)]


def test_part_that_fails_to_come_back_is_tried_again(tmp_path: Path) -> None:
    told: list[str | None] = []

    async def scenario() -> None:
        back = asyncio.Event()

        def changed(reason: str | None) -> None:
            told.append(reason)
            if reason is None:
                back.set()

        one = part(FAILING_ONCE, tmp_path, changed)
        await one.start(30)
        async with asyncio.timeout(30):
            await back.wait()
        await one.stop()

    asyncio.run(scenario())
    assert told[:3] == [
        "the server ended with status 0; it is started again in 0.01 s",
        "the server ended with status 3; it is started again in 0.02 s",
        None,
    ]


def test_part_that_does_not_answer_in_time_leaves_its_port(tmp_path: Path) -> None:
    async def scenario() -> int:
        one = part(MUTE, tmp_path, lambda reason: None)
        with pytest.raises(StartFailed, match="the server did not become ready in 1 s"):
            await one.start(1)
        return one.port

    with socket.create_server((HOST, asyncio.run(scenario()))):
        pass


@pytest.mark.skipif(not (PROC / "net" / "tcp").exists(), reason="there is no /proc/net/tcp")
async def test_part_is_not_ready_because_somebody_else_answers_at_its_port(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        command = Command("the server", [sys.executable, "-c", "import time; time.sleep(0.3)"], os.environ, tmp_path)
        with pytest.raises(StartFailed, match="before it was ready"):
            await Part(command, port, "/", tmp_path / "log", lambda reason: None).start(30)


def test_part_that_cannot_be_started_is_told_with_the_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        await part(SERVER, tmp_path, lambda reason: None, program=str(tmp_path / "absent")).start(30)

    with pytest.raises(StartFailed, match=r"the server cannot be started: .*No such file"):
        asyncio.run(scenario())


async def test_group_of_a_child_that_has_ended_is_killed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.killpg", lambda group, number: killed.append(group))
    child = await start_child(Command("it", ["true"], os.environ, tmp_path), tmp_path / "log")
    assert [await child.wait(), await child.wait()] == [0, 0]  # as who cannot start it again does
    assert killed == [child.pid]


async def test_what_a_child_started_ends_with_it_though_nobody_waited_for_its_end(tmp_path: Path) -> None:
    command = Command("it", ["sh", "-c", "sleep 60 & echo $!"], os.environ, tmp_path)
    child = await start_child(command, tmp_path / "log")
    while not child.ended:
        await asyncio.sleep(0.01)
    started = int((tmp_path / "log").read_text())
    assert alive(started)
    await child.stop(1)
    while alive(started):
        await asyncio.sleep(0.01)


async def test_child_ends_also_where_what_it_started_may_not_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killpg(group: int, number: int) -> None:  # as for a program that sudo started
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.killpg", killpg)
    child = await start_child(Command("it", ["true"], os.environ, tmp_path), tmp_path / "log")
    assert await child.wait() == 0
