import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.supervisor.control import SOCKET, ask, listen
from despina.errors import Internal, NotFound, Unavailable


@pytest.mark.parametrize(
    ("error", "said"), [(NotFound("no such service"), "no such service"), (OSError(28, "No space"), "No space")]
)
def test_what_cannot_be_done_is_told_with_its_reason(tmp_path: Path, error: Exception, said: str) -> None:
    async def fail(request: dict[str, Any]) -> dict[str, Any]:
        raise error

    async def scenario() -> None:
        server = await listen(tmp_path, fail)
        try:
            await asyncio.to_thread(ask, tmp_path, {"command": "deploy"}, 10)
        finally:
            server.close()

    with pytest.raises(Internal, match=said):
        asyncio.run(scenario())


def test_a_request_may_be_long_and_so_may_the_path_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / (200 * "x")
    folder.mkdir()

    async def count(request: dict[str, Any]) -> dict[str, Any]:
        return {"length": len(request["before"])}

    async def scenario() -> dict[str, Any] | None:
        server = await listen(folder, count)
        try:
            return await asyncio.to_thread(ask, folder, {"before": 1_000_000 * "x"}, 10)
        finally:
            server.close()

    assert asyncio.run(scenario()) == {"length": 1_000_000}


def test_supervisor_that_hangs_is_told_as_such_however_many_asked_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(SOCKET)
        hanging.listen(1)
        for _ in range(4):
            with pytest.raises(Unavailable, match="has not answered"):
                ask(tmp_path, {"command": "state"}, 0.01)


@pytest.mark.parametrize("said", [b"", b'{"state": "runn'])
def test_supervisor_that_dies_over_its_answer_has_given_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(SOCKET)
        dying.listen()

        def die() -> None:
            connection, _ = dying.accept()
            with connection:
                connection.recv(100)
                connection.sendall(said)

        thread = threading.Thread(target=die)
        thread.start()
        assert ask(tmp_path, {"command": "state"}, 10) is None
        thread.join()
