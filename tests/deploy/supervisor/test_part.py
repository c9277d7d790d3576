import asyncio
import os
import sys
from pathlib import Path

import pytest

from despina.deploy.supervisor.child import Command
from despina.deploy.supervisor.commands import free_port
from despina.deploy.supervisor.part import Part

SERVER = (
    "import http.server, sys\n"
    "address = '127.0.0.1', int(sys.argv[1])\n"
    "http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()\n"
)


def test_part_that_is_stopped_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("despina.deploy.supervisor.part.FIRST_DELAY_SECONDS", 0.01)
    port, told = free_port(), list[str | None]()
    command = Command("the server", [sys.executable, "-c", SERVER, str(port)], os.environ, tmp_path)

    async def scenario() -> None:
        part = Part(command, port, "/", tmp_path / "log", told.append)
        await part.start(30)
        await part.stop()
        await asyncio.sleep(0.1)

    asyncio.run(scenario())
    assert told == []
