import errno
import fcntl
import gc
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from despina.errors import Internal
from despina.repository.temporary import TemporaryDirectory, remove_abandoned

KILLED = """
import os, signal
from despina.repository.temporary import TemporaryDirectory
temporary = TemporaryDirectory("model")
(temporary.path / "model.onnx").write_bytes(b"onnx")
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def no_more_open_files() -> Iterator[None]:
    """What is open stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_is_empty_and_gone_afterwards(directory: Path) -> None:
    temporary = TemporaryDirectory("model")
    assert list(temporary.path.iterdir()) == []
    assert temporary.path.is_relative_to(directory)
    temporary.cleanup()
    temporary.cleanup()
    assert list(directory.iterdir()) == []


def test_that_of_a_killed_process_is_removed_and_no_other(directory: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL
    assert len(list(directory.iterdir())) == 1
    mine = TemporaryDirectory("model")
    for name in ("despina-model-my_model", "other"):
        (directory / name).mkdir()
    (directory / "despina-file").write_bytes(b"")
    remove_abandoned()
    left = {path.name for path in directory.iterdir()}
    assert left == {mine.path.parent.name, "despina-model-my_model", "other", "despina-file"}
    mine.cleanup()


def test_that_of_another_user_is_not_removed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    remove_abandoned()
    assert len(list(directory.iterdir())) == 1


def test_a_lock_that_is_a_link_is_none(directory: Path) -> None:
    (directory / "mine").write_bytes(b"")
    (directory / "despina-model-x").mkdir()
    (directory / "despina-model-x" / ".despina-in-use").symlink_to(directory / "mine")
    remove_abandoned()
    assert (directory / "despina-model-x").is_dir()


def test_where_files_cannot_be_locked_none_is_taken_for_abandoned(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", no_locks)
        temporary = TemporaryDirectory("model")
    remove_abandoned()
    assert temporary.path.is_dir()
    temporary.cleanup()
    assert list(directory.iterdir()) == []


def test_what_links_lead_to_is_not_removed(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (abandoned,) = directory.iterdir()
    (abandoned / "model" / "link").symlink_to(model)
    (directory / "despina-link").symlink_to(model)
    remove_abandoned()
    assert os.listdir(directory) == ["despina-link"]
    assert model.is_dir()


def test_no_place_for_one_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(directory / "missing"))
    with pytest.raises(Internal, match=r"temporary directory: No such file or directory\. Have TMPDIR"):
        TemporaryDirectory("model")
    remove_abandoned()


def test_one_that_cannot_have_its_lock_leaves_nothing(directory: Path) -> None:
    assert tempfile.gettempdir() == str(directory)  # which is found by writing there, once
    with no_more_open_files(), pytest.raises(Internal, match="Too many open files"):
        TemporaryDirectory("model")
    gc.collect()  # a warning would be an error
    assert list(directory.iterdir()) == []


def test_what_cannot_be_removed_stays_for_the_next_server(directory: Path) -> None:
    temporary = TemporaryDirectory("model")
    with no_more_open_files():
        temporary.cleanup()
    assert len(list(directory.iterdir())) == 1
    remove_abandoned()
    assert list(directory.iterdir()) == []
