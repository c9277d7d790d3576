import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.folder import ServiceFolder
from despina.deploy.service import Mode, ServiceSpec
from despina.deploy.supervisor.commands import HOST, PROMISED_PORT
from despina.deploy.supervisor.generation import Generation
from despina.deploy.supervisor.part import StartFailed


@pytest.mark.parametrize(
    ("mode", "port", "wish"),
    [(Mode.DIRECT, 6789, None), (Mode.MIDDLEWARE, 6789, PROMISED_PORT), (Mode.MIDDLEWARE, PROMISED_PORT, None)],
)
def test_server_leaves_the_known_port_to_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode, port: int, wish: int | None
) -> None:
    wishes: list[int | None] = []

    def free_port(preferred: int | None = None) -> int:
        wishes.append(preferred)
        return 20_000

    monkeypatch.setattr("despina.deploy.supervisor.generation.free_port", free_port)
    spec = ServiceSpec("svc", 2, mode, ("m:1",), DeploymentConfig(), port=port)

    async def scenario() -> None:
        with pytest.raises(StartFailed, match="model-repository is missing"):
            await Generation(spec, ServiceFolder(tmp_path), lambda reason: None).start()

    asyncio.run(scenario())
    assert wishes[0] == wish


def direct(folder: Path) -> Generation:
    (folder / "generations" / "2" / "model-repository").mkdir(parents=True)
    spec = ServiceSpec("svc", 2, Mode.DIRECT, ("m:1",), DeploymentConfig())
    return Generation(spec, ServiceFolder(folder), lambda reason: None)


class FakePart:
    """`Part` for parts whose start is up to the test."""

    def __init__(self, command: Any, port: int, *more: Any) -> None:
        self.port = port

    async def start(self, seconds: float) -> None:
        pass

    async def stop(self) -> None:
        pass


@pytest.mark.parametrize(("taken", "tries"), [(False, 1), (True, 2)])
async def test_server_that_fails_is_tried_elsewhere_where_its_port_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool, tries: int
) -> None:
    listeners: list[socket.socket] = []
    ports: list[int] = []

    async def fail(self: FakePart, seconds: float) -> None:
        ports.append(self.port)
        if taken:
            listeners.append(socket.create_server((HOST, self.port)))
        raise StartFailed("it did not start")

    monkeypatch.setattr(FakePart, "start", fail)
    monkeypatch.setattr("despina.deploy.supervisor.generation.Part", FakePart)
    with pytest.raises(StartFailed):
        await direct(tmp_path).start()
    for listener in listeners:
        listener.close()
    assert len(set(ports)) == tries


async def test_a_request_that_does_not_end_keeps_no_generation_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    async def stop(self: FakePart) -> None:
        ended.append(self.port)

    monkeypatch.setattr(FakePart, "stop", stop)
    monkeypatch.setattr("despina.deploy.supervisor.generation.Part", FakePart)
    monkeypatch.setattr("despina.deploy.supervisor.generation.DRAIN_SECONDS", 0.01)
    generation = direct(tmp_path)
    upstreams = await generation.start()
    upstreams.enter()
    await generation.drain()
    assert ended == [generation.server_port]
