"""Giving freed memory back to the operating system.

A closed session's memory is free for the process, but glibc keeps it in its arenas: without a trim the resident size
after unloading stays where it was. Not for the event loop's thread: a full collection takes tens of milliseconds.
"""

import ctypes
import gc


def give_back_memory() -> None:
    """Collect what nobody refers to any more, and return free pages to the system where the C library can."""
    gc.collect()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def _malloc_trim() -> "ctypes._NamedFuncPointer | None":
    try:
        function = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes = (ctypes.c_size_t,)
    function.restype = ctypes.c_int
    return function
