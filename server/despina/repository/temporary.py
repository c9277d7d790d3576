"""Temporary directories, which are removed even when their process is killed: by the next one that starts.

Each holds a file that its process has locked, and the directory that is asked for beside it. The system takes the lock
back when the process ends, however it ends. So who gets the lock knows that nobody needs the directory any more; a
directory without that file may be anybody's, whatever it is called.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from despina.errors import Internal

PREFIX = "despina-"
_LOCK = ".despina-in-use"


class TemporaryDirectory:
    """`path` is a new directory, for as long as this process lives and nobody calls `cleanup`. Raises Internal when
    there is no place for one."""

    def __init__(self, purpose: str) -> None:
        try:
            self._outer = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{purpose}-", ignore_cleanup_errors=True)
            try:
                self._lock = _lock(Path(self._outer.name))
            except OSError:
                os.rmdir(self._outer.name)  # without a lock nobody would remove it later; nothing is in it yet
                self._outer.cleanup()
                raise
            self.path = Path(self._outer.name) / purpose
            self.path.mkdir()
        except OSError as error:
            raise Internal(
                f"failed to make a temporary directory: {error.strerror}. Have TMPDIR name a directory with room that "
                "can be written to."
            ) from error

    def cleanup(self) -> None:
        """Remove it. What cannot be removed now stays for the next server that starts."""
        self._outer.cleanup()
        self._lock.close()


def _lock(directory: Path) -> BinaryIO:
    """A lock that is held until it is closed. It has its name only when it is held, so that nobody can come before."""
    unnamed = directory / f"{_LOCK}.new"
    file = unnamed.open("xb")
    with suppress(OSError):  # where files cannot be locked, nothing is removed later
        fcntl.flock(file, fcntl.LOCK_EX)
        unnamed.rename(directory / _LOCK)
    return file


def remove_abandoned() -> None:
    """Remove those whose process was killed. What cannot be removed stays."""
    with suppress(OSError):
        for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError):
                _remove_if_abandoned(directory)


def _remove_if_abandoned(directory: Path) -> None:
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory)
    finally:
        os.close(descriptor)
