import asyncio
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.folder import ServiceFolder
from despina.deploy.service import Mode, ServiceSpec
from despina.deploy.supervisor.supervisor import Supervisor


def test_service_ends_when_it_is_seen_that_its_folder_was_removed(tmp_path: Path) -> None:
    ended = asyncio.run(_look(ServiceFolder(tmp_path / "svc")))
    assert ended
    assert not (tmp_path / "svc").exists()


def test_service_with_its_folder_goes_on(tmp_path: Path) -> None:
    (tmp_path / "svc").mkdir()
    (tmp_path / "svc" / "spec.json").touch()
    assert not asyncio.run(_look(ServiceFolder(tmp_path / "svc")))


def test_what_cannot_be_written_is_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    for change in ("write_state", "rotate_log"):
        monkeypatch.setattr(ServiceFolder, change, fail)
    folder = ServiceFolder(tmp_path)
    folder.write_spec(ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))

    async def scenario() -> None:
        one = Supervisor(folder)
        one._look_after_folder()
        one._deploy()
        async with asyncio.timeout(10):  # there is no repository, so it fails at once
            assert (await one._answer({"command": "wait"}))["state"] == "failed"
        await one._shut_down()

    asyncio.run(scenario())


async def _look(folder: ServiceFolder) -> bool:
    one = Supervisor(folder)
    one._look_after_folder()
    return one._stop.is_set()
