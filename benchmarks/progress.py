"""A progress bar on stderr."""

import os
import sys
import time

WIDTH = 30


class Progress:
    """`total` steps of about equal length. Silent where stderr is no terminal, but for one line per minute."""

    def __init__(self, total: int) -> None:
        self._total = max(1, total)
        self._done = 0
        self._label = ""
        self._begin = time.monotonic()
        self._told = self._begin
        self._bar = sys.stderr.isatty()

    def show(self, label: str) -> None:
        self._label = label
        self._draw()

    def advance(self) -> None:
        self._done += 1
        self._draw()

    def end(self) -> None:
        if self._bar:
            sys.stderr.write("\r\x1b[K")

    def _draw(self) -> None:
        now = time.monotonic()
        line = bar(self._done, self._total, now - self._begin, self._label)
        if self._bar:
            # What goes on in the next line is not overwritten.
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write(f"\r\x1b[K{line[: columns - 1]}")
            sys.stderr.flush()
        elif now - self._told > 60:
            self._told = now
            print(line, file=sys.stderr)


def bar(done: int, total: int, elapsed_s: float, label: str) -> str:
    """`[####....] 12/40, 1:05 left, label`"""
    full = WIDTH * done // total
    left = elapsed_s / done * (total - done) if done else 0.0
    minutes, seconds = divmod(round(left), 60)
    time_left = f", {minutes}:{seconds:02d} left" if done else ""
    return f"[{'#' * full}{'.' * (WIDTH - full)}] {done}/{total}{time_left}, {label}"
