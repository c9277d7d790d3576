"""What ends a run early ends what it started, too."""

import signal
import sys

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Sent by `kill` and `timeout`, and by a terminal that is closed. Servers are in groups of their own, where they get
neither, so they would stay."""


def end_cleanly() -> None:
    """From here on these signals end the process as an interruption would. One that is ignored, as under nohup, stays
    so."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    # A shell passes on the SIGHUP that the process has had already: one is enough, and must not cut short the end.
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
