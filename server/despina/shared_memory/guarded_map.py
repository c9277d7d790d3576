"""A mapped file that may be cut off behind its user's back.

Whoever touches a mapped page that its file no longer has is sent SIGBUS, which ends the process. A client can do that
to a server at any moment, by truncating his segment. Here the handler of the signal puts zeros in the place of a map
that was touched so, and what was interrupted goes on.

Handlers of the module `signal` run between two instructions of the interpreter, and the one that failed would never
end; so this one is installed as a function of C, by sigaction(2). It may run Python because the signal does not come at
any moment: a thread gets it for what it does itself, which is to copy or to compute, and never in the middle of the
interpreter.
"""

import ctypes
import mmap
import signal
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SA_SIGINFO = 4
_MAP_FIXED = 0x10
"""From <signal.h> and <sys/mman.h> of Linux."""


class _SignalInfo(ctypes.Structure):
    """The head of `siginfo_t`. `address` is what was touched, where `code` is positive."""

    _fields_ = (
        ("number", ctypes.c_int),
        ("error", ctypes.c_int),
        ("code", ctypes.c_int),
        ("address", ctypes.c_void_p),
    )


_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(_SignalInfo), ctypes.c_void_p)


class _Action(ctypes.Structure):
    """`struct sigaction`."""

    _fields_ = (
        ("handler", _Handler),
        ("mask", ctypes.c_ubyte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Pages:
    """Where a map is, for as long as anybody has a view of it."""

    def __init__(self, size: int) -> None:
        self.size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.lost = False


_guarded: dict[int, _Pages] = {}
"""By the address of their first byte."""


class GuardedMap:
    """`size` bytes from `offset` of a file, shared with whoever else has it. `view` is valid for as long as it is kept,
    and is zeros that nobody shares as soon as the map is `lost`. Raises ValueError when the file is not as long, and
    OSError when it cannot be mapped."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        mapped = mmap.mmap(descriptor, size, offset=offset)
        self.view = memoryview(mapped)
        self._pages = _Pages(size)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        _guarded[address] = self._pages
        weakref.finalize(mapped, _forget, address, self._pages).atexit = False
        _install()

    @property
    def lost(self) -> bool:
        """Whether somebody has touched what the file no longer had."""
        return self._pages.lost


def _forget(address: int, pages: _Pages) -> None:
    """Comes when the map is gone already, and another thread may have put one in its place."""
    if _guarded.get(address) is pages:
        del _guarded[address]


def is_shared(array: NDArray[np.generic]) -> bool:
    """Whether somebody outside can still change the values."""
    return bool(_guarded) and _start_of(array.ctypes.data) is not None


def _start_of(address: int) -> int | None:
    """Where the map begins that has the address."""
    for start, pages in list(_guarded.items()):
        if start <= address < start + pages.size:
            return start
    return None


@cache
def _install() -> Callable[..., Any]:
    """Handle SIGBUS, once per process. Returns the handler, which has to be kept."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    )
    before = _Action()

    def replace(address: int) -> bool:
        start = _start_of(address)
        if start is None:
            return False
        pages, protection = _guarded[start], mmap.PROT_READ | mmap.PROT_WRITE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
        pages.lost = libc.mmap(start, pages.size, protection, flags, -1, 0) == start
        return pages.lost

    def handle(_number: int, info: Any, _context: int | None) -> None:
        touched = info.contents.code > 0  # or else somebody has sent the signal
        if not (touched and replace(info.contents.address or 0)):
            # Not of these maps: on return it comes again, and is answered as it was before.
            libc.sigaction(signal.SIGBUS, ctypes.byref(before), None)
            if not touched:
                signal.raise_signal(signal.SIGBUS)

    handler = _Handler(handle)
    action = _Action(handler, flags=_SA_SIGINFO)
    if libc.sigaction(signal.SIGBUS, ctypes.byref(action), ctypes.byref(before)):
        raise OSError(ctypes.get_errno(), "sigaction")
    return handler
