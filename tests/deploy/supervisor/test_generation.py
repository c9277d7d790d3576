import asyncio
from pathlib import Path

import pytest

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.folder import ServiceFolder
from despina.deploy.service import Mode, ServiceSpec
from despina.deploy.supervisor.commands import PROMISED_PORT
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
