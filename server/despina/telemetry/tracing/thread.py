"""The thread in which traces are written: one, in order, away from the event loop."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from despina.telemetry.tracing.trace import Trace

_log = logging.getLogger(__name__)

Groups = Sequence[Sequence[Trace]]


class TraceThread:
    """Starts with the first write. What fails is logged and costs its traces, never a request."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trace")
        self._closed = False

    def submit(self, write: Callable[[Groups], None], groups: Groups) -> None:
        """Write later. After `close` it is too late: requests that outlive the exit timeout lose their traces."""
        if not self._closed:
            self._executor.submit(_guarded, write, groups)

    def close(self) -> None:
        """Wait until everything is written."""
        self._closed = True
        self._executor.shutdown(wait=True)


def _guarded(write: Callable[[Groups], None], groups: Groups) -> None:
    try:
        write(groups)
    except OSError as error:
        _log.error("failed creating trace file: %s", error)
    except Exception:
        _log.exception("failed writing %d traces", len(groups))
