"""A signal at the death of one's parent, so that no process outlives its service and keeps a port."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, parent: int | None = None) -> Callable[[], None]:
    """What a child calls first to ask the kernel for that signal. `parent` is the process that makes this call.

    The kernel counts the death of the thread that forked, so children are to be started in threads that last.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    # Loaded here: between fork and exec nothing may be imported.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    expected = os.getpid() if parent is None else parent

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != expected:  # it died before we asked
            os.kill(os.getpid(), number)

    return ask
