"""Host memory for staging buffers: ordinary pages here, pinned ones in `cuda`."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Allocator(Protocol):
    """Where staging buffers come from. Whoever closes it has dropped every array it made."""

    @property
    def pinned(self) -> bool:
        """Whether copying into this memory pays, even of what is already in one piece."""
        ...

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """`count` uninitialised bytes, aligned for any datatype."""
        ...

    def free(self, block: NDArray[np.uint8]) -> None:
        """Give back what `bytes` returned; no view of it is used any more."""
        ...

    def close(self) -> None:
        """Free everything that was allocated."""
        ...


class PageableMemory:
    """Ordinary memory, which numpy frees with the last view of it."""

    pinned = False

    def bytes(self, count: int) -> NDArray[np.uint8]:
        return np.empty(count, np.uint8)

    def free(self, block: NDArray[np.uint8]) -> None:
        """numpy does it."""

    def close(self) -> None:
        """There is nothing to free."""
