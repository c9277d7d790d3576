"""Files stored under the SHA-256 of their content: `sha256/ab/abcd…`.

A file becomes visible under its final name only when all its bytes are on disk: it is copied to a temporary name,
flushed, then renamed. Whatever dies on the way leaves at most a temporary file or a blob that nothing refers to, and
`collect` removes both. `collect` must not see the blobs of a registration that has copied but not yet inserted, so
writers hold a shared lock (`writing`) and `collect` an exclusive one; the kernel drops the lock of a process that dies.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from despina.errors import Internal

CHUNK = 1 << 20
REPAIR = "register the same files again, which stores it anew"


@dataclass(frozen=True, slots=True)
class Blob:
    """Content: its hexadecimal SHA-256 and its length in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed: files, and their bytes together."""

    files: int
    size: int


class Blobs:
    """The blobs below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        return self.root / "sha256" / sha256[:2] / sha256

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps `collect` away until the caller has recorded what it put, or has linked what it read."""
        with self._locked(fcntl.LOCK_SH):
            yield

    def put(self, source: Path) -> Blob:
        """Stores the content of `source`; content that is already here is kept, and replaced where it is damaged."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._temporary)
        try:
            with open(handle, "wb") as copy, source.open("rb") as original:
                blob = copy_hashed(original, copy)
                # Read-only, because services hold hard links to this file.
                os.fchmod(copy.fileno(), 0o444)
                copy.flush()
                os.fsync(copy.fileno())
            target = self.path(blob.sha256)
            if not _holds(target, blob):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.rename(name, target)
                sync_directory(target.parent)
        finally:
            Path(name).unlink(missing_ok=True)
        return blob

    def link(self, blob: Blob, target: Path) -> None:
        """Makes `target` a hard link to the blob, or a copy where the file systems differ. Raises Internal: the stored
        file is missing or has another length. Its content is not read: models are large."""
        stored = self.path(blob.sha256)
        if stored.exists() and (size := stored.stat().st_size) != blob.size:
            raise _damaged(stored, f"expected {blob.size} bytes, it has {size}")
        try:
            os.link(stored, target)
        except OSError:
            self.copy(blob.sha256, target, mode=0o444)

    def copy(self, sha256: str, target: Path, *, mode: int) -> None:
        """Writes the content to `target` in one step, replacing what is there. Raises Internal: the stored file is
        missing or no longer has this content."""
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with open(handle, "wb") as copy, self._open(sha256) as original:
                found = copy_hashed(original, copy)
                os.fchmod(copy.fileno(), mode)
            if found.sha256 != sha256:
                raise _damaged(self.path(sha256), f"its content now hashes to {found.sha256}")
            os.rename(name, target)
        finally:
            Path(name).unlink(missing_ok=True)

    def collect(self, referenced: Iterable[str]) -> Collected:
        """Removes every blob that is not `referenced`, and all temporary files.

        `referenced` is read after the exclusive lock is held, so an iterator may look things up late.
        """
        with self._locked(fcntl.LOCK_EX):
            keep = set(referenced)
            stored = [path for path in (self.root / "sha256").glob("*/*") if path.name not in keep]
            return _remove([*stored, *self._temporary.glob("*")])

    @property
    def _temporary(self) -> Path:
        return self.root / "tmp"

    def _open(self, sha256: str) -> BinaryIO:
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError:
            raise Internal(f"stored file {self.path(sha256)} is missing; {REPAIR}") from None

    @contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("ab") as file:
            fcntl.flock(file, mode)
            yield


def copy_hashed(original: BinaryIO, copy: BinaryIO) -> Blob:
    """Copies a stream and says what went by."""
    digest = hashlib.sha256()
    size = 0
    while chunk := original.read(CHUNK):
        digest.update(chunk)
        copy.write(chunk)
        size += len(chunk)
    return Blob(digest.hexdigest(), size)


def _holds(path: Path, blob: Blob) -> bool:
    """Whether a stored file still has the content that its name says."""
    if not path.exists() or path.stat().st_size != blob.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == blob.sha256


def _damaged(path: Path, how: str) -> Internal:
    return Internal(f"stored file {path} is damaged: {how}; {REPAIR}")


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable: fsync of a file does not cover its name."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(paths: list[Path]) -> Collected:
    size = 0
    for path in paths:
        size += path.stat().st_size
        path.unlink()
    return Collected(len(paths), size)
