"""What the C library does with freed memory.

A model that is unloaded should be gone: a closed session's memory is free for the process, but glibc keeps it in its
arenas, and without a trim the resident size stays where it was. A large request body is another matter: the next one
comes at once, and getting pages from the system again costs more than to receive the body into them. Left alone glibc
decides between the two by what was freed before, and may get into a state where every body costs three times as much.
"""

import asyncio
import ctypes
import gc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""From <malloc.h>."""

KEPT = 128 * 1024 * 1024
"""Bytes of free memory that stay with the process until it gives them back."""

LARGEST_KEPT = 32 * 1024 * 1024
"""Blocks of more bytes are always returned when they are freed. glibc takes no larger number."""


def keep_freed_memory() -> None:
    """Have freed memory used again before it goes back to the system. To be called when a server starts."""
    mallopt = _c_function("mallopt", ctypes.c_int, ctypes.c_int)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT)


def give_back_memory() -> None:
    """Collect what nobody refers to any more, and return free pages to the system where the C library can. Not for the
    event loop's thread: a full collection takes tens of milliseconds."""
    gc.collect()
    trim = _c_function("malloc_trim", ctypes.c_size_t)
    if trim is not None:
        trim(0)


class MemoryReturn:
    """Gives memory back once for all that is freed within half a second. Hundreds of models that come or go together
    would each have everything collected."""

    DELAY_S = 0.5

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def ask(self) -> None:
        """Something large is freed. To be called on the event loop's thread."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(self.DELAY_S, self._start)

    def close(self) -> None:
        """The process is about to go, and its memory with it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _start(self) -> None:
        self._timer = None
        asyncio.get_running_loop().run_in_executor(None, give_back_memory)


def _c_function(name: str, *arguments: "type[ctypes._SimpleCData[int]]") -> "ctypes._NamedFuncPointer | None":
    """A function that not every C library has."""
    try:
        function: ctypes._NamedFuncPointer = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes = arguments
    function.restype = ctypes.c_int
    return function
