"""POSIX shared memory: segments under /dev/shm, read and written through their file descriptors."""

import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from resource import getpagesize
from stat import S_ISREG

from despina.errors import Internal, InvalidArgument

DIRECTORY = Path("/dev/shm")

_PYTHON_BACKEND_PREFIX = "triton_python_backend_shm_region_"


class SystemMemory:
    """`byte_size` bytes from `offset` of the segment `key`."""

    def __init__(self, descriptor: int, key: str, offset: int, byte_size: int) -> None:
        self.byte_size = byte_size
        self.description: Mapping[str, int | str] = {"key": key, "offset": offset, "byte_size": byte_size}
        self._descriptor = descriptor
        self._key = key
        self._offset = offset
        weakref.finalize(self, os.close, descriptor)

    def read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, self._offset + offset)
        if len(data) < size:
            raise self._too_small(offset + size)
        return data

    def write(self, offset: int, data: bytes | memoryview) -> None:
        position = self._offset + offset
        # The size, at a quarter of the price of fstat.
        if os.lseek(self._descriptor, 0, os.SEEK_END) < position + len(data):
            raise self._too_small(offset + len(data))
        try:
            written = os.pwrite(self._descriptor, data, position)
            while written < len(data):
                written += os.pwrite(self._descriptor, memoryview(data)[written:], position + written)
        except OSError as error:
            raise Internal(f"failed to write to shared memory '{self._key}': {error.strerror}") from None

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
    except BaseException:
        os.close(descriptor)
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
        raise InvalidArgument(f"failed to register shared memory region '{name}': invalid args")
    if offset % getpagesize() or not byte_size:
        # Copies would not mind, but what a mapping refuses is refused on every server.
        reason = "unable to process address space" + os.strerror(22)
        raise InvalidArgument(f"failed to register shared memory region '{name}': {reason}")
