import fcntl
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.folder import ServiceFolder, remove_remains
from despina.deploy.gate.keys import Keys
from despina.errors import AlreadyExists, NotFound


def test_large_log_is_moved_away_under_its_writers(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    assert not folder.rotate_log(10)
    with folder.log.open("ab", buffering=0) as writer:
        writer.write(b"0123456789")
        assert not folder.rotate_log(10)
        writer.write(b"more\n")
        assert folder.rotate_log(10)
        writer.write(b"after\n")
    assert (tmp_path / "service.log.1").read_text() == "56789more\n"
    assert folder.log.read_text() == "after\n"
    assert folder.tail(5) == ["after"]


def test_a_folder_goes_from_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ServiceFolder(tmp_path / "svc")
    source = folder.generation(1) / "source"
    source.mkdir(parents=True)
    mkdtemp = tempfile.mkdtemp

    def full(**where: Any) -> str:
        if source.exists():
            raise OSError(28, "No space left on device")
        return mkdtemp(**where)

    monkeypatch.setattr("tempfile.mkdtemp", full)
    folder.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "offset", "lengths"),
    [(1, 0, [9000]), (2, 0, [1, 9000]), (3, 0, [1, 1, 9000]), (9, 2, [1, 9000]), (0, 0, []), (-1, 0, [])],
)
def test_last_lines_are_whole_however_long_they_are(
    tmp_path: Path, lines: int, offset: int, lengths: list[int]
) -> None:
    folder = ServiceFolder(tmp_path)
    folder.log.write_text(f"a\nb\n{9000 * 'c'}\n")
    assert [len(line) for line in folder.tail(lines, offset)] == lengths


def test_lines_that_are_no_text_are_shown_as_far_as_they_are(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    folder.log.write_bytes(b"caf\xe9\n")
    assert folder.tail(1) == ["caf\ufffd"]


def test_what_there_is_no_room_for_leaves_the_old_and_nothing_else(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    old = Keys("first", "second")
    folder.write_keys(old)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))  # as on a disk that is full
    try:
        with pytest.raises(OSError, match="too large"):
            folder.write_keys(Keys("third", "fourth"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert folder.read_keys() == old
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_lock_of_a_removed_service_is_nobodys(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path / "svc")
    with folder.operation():
        (folder.path / "spec.json").write_text("{}")
        folder.remove()
        assert list(tmp_path.iterdir()) == []
        with folder.operation():  # of the next service of that name
            assert (folder.path / "operation.lock").exists()


def test_lock_that_goes_before_it_is_taken_protects_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ServiceFolder(tmp_path / "svc")
    flock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        shutil.rmtree(folder.path)
        flock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", late)
    with pytest.raises(AlreadyExists, match="service svc was just being deleted; try again"), folder.operation():
        pass


def test_spec_of_a_service_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No service with name svc found: it was deleted meanwhile"):
        ServiceFolder(tmp_path / "svc").read_spec()


def test_the_remains_of_an_interrupted_removal_go_with_the_next(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path / "svc")
    folder.path.mkdir()
    folder.write_keys(Keys("first", "second"))
    program = """
import os, shutil, signal, sys
from pathlib import Path
from typing import Any
from despina.deploy.folder import ServiceFolder
shutil.rmtree = lambda path: os.kill(os.getpid(), signal.SIGKILL)
ServiceFolder(Path(sys.argv[1])).remove()
"""
    killed = subprocess.run([sys.executable, "-c", program, str(folder.path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".svc.*/svc/keys.json"))
    for other in ("other/x", ".git/objects", ".svc.backup/data"):
        (tmp_path / other).mkdir(parents=True)
    remove_remains(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", ".svc.backup", "other"]


def test_what_somebody_is_removing_is_left_to_him(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ServiceFolder(tmp_path / "svc")
    folder.path.mkdir()
    remove = shutil.rmtree

    def look_before(path: Path) -> None:
        monkeypatch.setattr(shutil, "rmtree", remove)
        remove_remains(tmp_path)
        assert (path / "svc").is_dir()
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", look_before)
    folder.remove()
    assert list(tmp_path.iterdir()) == []
