import asyncio
from pathlib import Path

from despina.deploy.folder import ServiceFolder
from despina.deploy.supervisor.supervisor import Supervisor


def test_service_ends_when_it_is_seen_that_its_folder_was_removed(tmp_path: Path) -> None:
    ended = asyncio.run(_look(ServiceFolder(tmp_path / "svc")))
    assert ended
    assert not (tmp_path / "svc").exists()


def test_service_with_its_folder_goes_on(tmp_path: Path) -> None:
    (tmp_path / "svc").mkdir()
    (tmp_path / "svc" / "spec.json").touch()
    assert not asyncio.run(_look(ServiceFolder(tmp_path / "svc")))


async def _look(folder: ServiceFolder) -> bool:
    one = Supervisor(folder)
    one._look_after_folder()
    return one._stop.is_set()
