"""Trace files: one JSON array that grows, and numbered ones that are written in one go.

The growing file is a complete JSON array after every write: the closing bracket is overwritten by the next trace.
"""

from contextlib import suppress
from io import FileIO
from pathlib import Path

from despina.telemetry.tracing.text import render_groups
from despina.telemetry.tracing.thread import Groups, TraceThread


class TraceFile:
    """`path` is replaced by the first append; `path`.0, `path`.1, ... are the numbered files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_number = 0
        self._growing: FileIO | None = None
        self._end = 0
        self._thread = TraceThread()

    def append(self, groups: Groups) -> None:
        self._thread.submit(self._append, groups)

    def save_numbered(self, groups: Groups) -> None:
        self._thread.submit(self._save_numbered, groups)

    def close(self) -> None:
        """Wait until everything is written; what comes later is dropped."""
        self._thread.close()
        if self._growing is not None:
            with suppress(OSError):  # where the disk is full: each write that failed has said so
                self._growing.close()
            self._growing = None

    def _append(self, groups: Groups) -> None:
        piece = (b"," if self._end else b"[") + render_groups(groups) + b"]"
        if self._growing is None:
            self._growing = self._path.open("wb", buffering=0)
        if self._end:
            self._growing.seek(self._end)
        try:
            _write(self._growing, piece)
        except OSError:
            self._restore(self._growing)
            raise
        self._end += len(piece) - 1

    def _restore(self, file: FileIO) -> None:
        """Half a trace must not stay: a disk may be full for a while only, and later ones come behind it."""
        with suppress(OSError):
            file.seek(self._end)
            file.truncate()
            if self._end:
                file.write(b"]")

    def _save_numbered(self, groups: Groups) -> None:
        path = self._path.with_name(f"{self._path.name}.{self._next_number}")
        self._next_number += 1
        path.write_bytes(b"[" + render_groups(groups) + b"]")


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
