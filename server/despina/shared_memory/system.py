"""POSIX shared memory: segments under /dev/shm, mapped for as long as they are registered."""

import os
import weakref
from collections.abc import Mapping
from errno import EINVAL
from pathlib import Path
from resource import getpagesize
from stat import S_ISREG

from despina.errors import Internal, InvalidArgument
from despina.shared_memory.guarded_map import GuardedMap

DIRECTORY = Path("/dev/shm")

_PYTHON_BACKEND_PREFIX = "triton_python_backend_shm_region_"


class SystemMemory:
    """`byte_size` bytes from `offset` of the segment `key`."""

    def __init__(self, descriptor: int, key: str, offset: int, byte_size: int) -> None:
        self._map = GuardedMap(descriptor, offset, byte_size)
        self.byte_size = byte_size
        self.description: Mapping[str, int | str] = {"key": key, "offset": offset, "byte_size": byte_size}
        self._descriptor = descriptor
        self._key = key
        self._offset = offset
        weakref.finalize(self, os.close, descriptor)

    def read(self, offset: int, size: int) -> memoryview:
        end = offset + size
        return self._present(end).view[offset:end].toreadonly()

    def write(self, offset: int, data: bytes | memoryview) -> None:
        end = offset + len(data)
        present = self._present(end)
        present.view[offset:end] = data
        if present.lost:
            raise Internal(
                f"failed to write to shared memory '{self._key}': it was truncated meanwhile, or its file system "
                "is full"
            )

    def _present(self, end: int) -> GuardedMap:
        """The map, of which the segment has the first `end` bytes."""
        # The size, at a quarter of the price of fstat.
        if os.lseek(self._descriptor, 0, os.SEEK_END) < self._offset + end:
            raise self._too_small(end)
        if self._map.lost:
            try:
                self._map = GuardedMap(self._descriptor, self._offset, self.byte_size)
            except ValueError:
                raise self._too_small(self.byte_size) from None
            except OSError as error:
                raise Internal(f"failed to map shared memory '{self._key}' again: {error.strerror}") from None
        return self._map

    def _too_small(self, needed: int) -> InvalidArgument:
        return InvalidArgument(
            f"shared memory '{self._key}' has shrunk since it was registered: expected {self._offset + needed} bytes, "
            f"got {os.fstat(self._descriptor).st_size}"
        )


def check_key(name: str, key: str) -> None:
    """Raises InvalidArgument for a key that cannot or must not be registered as region `name`."""
    bare = key.lstrip("/")
    if not bare:
        raise InvalidArgument(f"cannot register shared memory region '{name}' - invalid shm key '{key}'")
    if bare.startswith(_PYTHON_BACKEND_PREFIX):
        raise InvalidArgument(
            f"cannot register shared memory region '{name}' with key '{key}' as the key contains the reserved prefix "
            f"'{_PYTHON_BACKEND_PREFIX}'"
        )


def open_system(name: str, key: str, offset: int, byte_size: int, directory: Path = DIRECTORY) -> SystemMemory:
    """Open the segment that region `name` is to be. Raises InvalidArgument, or Internal where there is none."""
    descriptor = _open_segment(directory, key)
    try:
        _check_extent(name, offset, byte_size, os.fstat(descriptor).st_size)
        return SystemMemory(descriptor, key, offset, byte_size)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            raise _not_mapped(name, error.strerror) from None
        if isinstance(error, ValueError):  # truncated since its size was asked
            raise _not_inside(name) from None
        raise


def _open_segment(directory: Path, key: str) -> int:
    """As shm_open: below the directory and nowhere else, no links, regular files only."""
    bare = key.lstrip("/")
    failure = Internal(f"Unable to open shared memory region: '{key}'")
    if "/" in bare or "\0" in bare:
        raise failure
    try:
        descriptor = os.open(directory / bare, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, UnicodeError):
        raise failure from None
    if not S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise failure
    return descriptor


def _check_extent(name: str, offset: int, byte_size: int, size: int) -> None:
    if offset + byte_size > size:
        raise _not_inside(name)
    if offset % getpagesize() or not byte_size:
        raise _not_mapped(name, os.strerror(EINVAL))


def _not_inside(name: str) -> InvalidArgument:
    return InvalidArgument(f"failed to register shared memory region '{name}': invalid args")


def _not_mapped(name: str, reason: str | None) -> InvalidArgument:
    return InvalidArgument(f"failed to register shared memory region '{name}': unable to process address space{reason}")
