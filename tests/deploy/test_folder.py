from pathlib import Path

import pytest

from despina.deploy.folder import ServiceFolder
from despina.errors import NotFound


def test_large_log_is_moved_away_under_its_writers(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    assert not folder.rotate_log(10)
    with folder.log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        assert not folder.rotate_log(10)
        writer.write(b"more\n")
        assert folder.rotate_log(10)
        writer.write(b"after\n")
    assert (tmp_path / "service.log.1").read_text() == "0123456789more\n"
    assert folder.log.read_text() == "after\n"
    assert folder.tail(5) == ["after"]


def test_lock_of_a_removed_service_is_nobodys(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path / "svc")
    with folder.operation():
        (folder.path / "spec.json").write_text("{}")
        folder.remove()
        assert list(tmp_path.iterdir()) == []
        with folder.operation():  # of the next service of that name
            assert (folder.path / "operation.lock").exists()


def test_spec_of_a_service_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No service with name svc found: it was deleted meanwhile"):
        ServiceFolder(tmp_path / "svc").read_spec()
