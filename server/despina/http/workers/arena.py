"""Shared memory for tensors, handed out in slots.

An arena is a file without a name: it is gone when the last process that has it open is gone, however that ended. Its
size is address space only; memory is what has been written to. Slots are powers of two, and the one that was given back
last is the next one taken, while it is still in the processor's cache. Memory of free slots is kept up to a limit.
"""

import mmap
import os
import weakref
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from despina.errors import Unavailable
from despina.protocol.messages import Array

CAPACITY = 1 << 36
KEPT_BYTES = 256 << 20
COPIED_SIZE = 64 * 1024
"""Results up to this size are copied, and their slot is free at once. Larger ones are written to the client from shared
memory; their slot is free when nothing looks at them any more. A request that is passed on as it came, and its reply,
need a slot only if they are larger."""
_SMALLEST = 12
"""Slots have at least 2^12 bytes: memory can be returned in pages only."""


def create_arena(name: str) -> int:
    """The file descriptor of a new arena."""
    descriptor = os.memfd_create(f"despina-{name}", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, CAPACITY)
    return descriptor


class Arena:
    """An arena in this process. `take` and `give` are for the one side that hands out its slots."""

    def __init__(self, descriptor: int, kept_bytes: int = KEPT_BYTES) -> None:
        self.memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._address = np.ndarray((1,), np.uint8, self.memory).ctypes.data
        self._kept_bytes = kept_bytes
        self._top = 0
        self._taken: dict[int, int] = {}
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._empty: defaultdict[int, list[int]] = defaultdict(list)
        self.free_bytes = 0
        """What free slots hold in memory, at most."""

    def take(self, size: int) -> int:
        """The offset of a slot with at least `size` bytes. Raises Unavailable when there is no room."""
        order = max(_SMALLEST, (size - 1).bit_length())
        if self._free[order]:
            offset = self._free[order].pop()
            self.free_bytes -= 1 << order
        elif self._empty[order]:
            offset = self._empty[order].pop()
        else:
            offset = self._top
            if offset + (1 << order) > len(self.memory):
                return self._take_larger(order, size)
            self._top += 1 << order
        self._taken[offset] = order
        return offset

    def _take_larger(self, order: int, size: int) -> int:
        """A free slot of a higher order, as it is. There is nothing else left."""
        for larger in sorted({*self._free, *self._empty}):
            if larger > order and (self._free[larger] or self._empty[larger]):
                return self.take(1 << larger)
        raise Unavailable(f"no shared memory left for tensors of {size} bytes")

    def give(self, offset: int) -> None:
        """Take a slot back."""
        order = self._taken.pop(offset)
        size = 1 << order
        if self.free_bytes + size <= self._kept_bytes:
            self.free_bytes += size
            self._free[order].append(offset)
        else:
            self.memory.madvise(mmap.MADV_REMOVE, offset, size)
            self._empty[order].append(offset)

    def view(self, offset: int, size: int, on_release: Callable[[int], None]) -> Array:
        """The bytes of a slot. `on_release` is called with its offset when neither this array nor any view that was
        made of it is there any more."""
        # Views have this array as their base, not the map, because that is no array.
        slot: Array = np.ndarray((size,), np.uint8, self.memory, offset)
        weakref.finalize(slot, on_release, offset).atexit = False
        return slot

    def find(self, array: Array) -> int:
        """The offset of an array's elements. Negative, or beyond the arena, for those that lie elsewhere."""
        return array.ctypes.data - self._address

    @property
    def taken(self) -> int:
        """Slots in use."""
        return len(self._taken)
