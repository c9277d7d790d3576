"""A piece of a registered region, which is what tensors are read from and written to.

The memory belongs to a client, who may change, shrink or unmap it whenever he likes. What is read of a GPU is a copy;
of the system's memory it is the memory itself, as in tritonserver, so a client who changes a tensor before its request
is answered may get the answer to either. What he takes away is zeros from then on (`guarded_map.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from despina.errors import InvalidArgument

MAX_READ = 0x7FFFF000
"""The most bytes one tensor may have, about what an HTTP body can hold."""


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """Where in a registered shared memory region a tensor lies; sizes in bytes."""

    region: str
    offset: int
    byte_size: int


class Memory(Protocol):
    """Memory of another process, open here for as long as the object lives."""

    @property
    def byte_size(self) -> int: ...

    @property
    def description(self) -> Mapping[str, int | str]:
        """What the status of the region says besides its name."""
        ...

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """`size` bytes from `offset`, not to be written to. Raises DespinaError when they are not there."""
        ...

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Copy `data`, contiguous bytes, to `offset`. Raises DespinaError when there is no room."""
        ...


@dataclass(slots=True)
class Window:
    """`byte_size` bytes from `offset` of the region that is registered as `region`. It keeps the region's memory open,
    so a request that has found its windows is not disturbed when the region is unregistered. Not frozen, which would
    double the time it takes to find one."""

    memory: Memory
    region: str
    offset: int
    byte_size: int

    @property
    def place(self) -> SharedMemory:
        return SharedMemory(self.region, self.offset, self.byte_size)

    def read(self) -> memoryview:
        """The bytes, not to be written to. Raises InvalidArgument when the client has taken them away, or they are too
        many."""
        if self.byte_size > MAX_READ:
            raise InvalidArgument(
                f"shared memory of {self.byte_size} bytes exceeds the maximum of {MAX_READ} bytes for one tensor"
            )
        return memoryview(self.memory.read(self.offset, self.byte_size))

    def write(self, data: bytes | memoryview) -> None:
        """Copy `data` to the start of the window, which must be large enough. Raises DespinaError as `Memory.write`."""
        assert len(data) <= self.byte_size
        self.memory.write(self.offset, data)
