"""`python -m despina.deploy.supervisor.guard FOLDER LOCK READY`: keeps a supervisor alive.

It does as little as a process can, so that it has no reason to die. It holds `run.lock`, which whoever starts it has
taken for it, as long as the service runs. So does the supervisor: it outlives a guard that was killed, until its
requests are answered.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from despina.deploy.parent_death import die_with_parent

LOCK = "run.lock"
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0
WAITED_FOR = frozenset({signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM})
"""Blocked, so that they are there when they are waited for. A handler that raises would do so anywhere: in a finalizer,
which drops it, or between the start of a process and the knowledge of it."""


def main() -> None:
    folder, lock, ready = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if os.fork():
        os._exit(0)  # so that whoever deploys need not wait for us, now or ever
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    os.write(lock, str(os.getpid()).encode())
    _guard(folder, ready, lock)


def _guard(folder: Path, ready: int, lock: int) -> None:
    delay = FIRST_DELAY_SECONDS
    descriptors: tuple[int, ...] = (ready,)
    while True:
        started = time.monotonic()
        try:
            status = _run_supervisor(folder, lock, descriptors)
            how = f"ended with status {status}"
        except OSError as error:  # there is no memory, or no process, to be had
            status, how = -1, f"cannot be started ({error})"
        descriptors = ()
        if status == 0 or not folder.exists():  # without its folder nobody can reach the service any more
            return
        if time.monotonic() - started > STEADY_SECONDS:
            delay = FIRST_DELAY_SECONDS
        with suppress(OSError):  # the disk may be full
            sys.stderr.write(f"the supervisor {how}; starting it again in {delay:g} s\n")
        if _is_ended_within(delay):
            return
        delay = min(2 * delay, LONGEST_DELAY_SECONDS)


def _is_ended_within(seconds: float) -> bool:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return signal.sigwait({signal.SIGTERM, signal.SIGALRM}) == signal.SIGTERM


def _run_supervisor(folder: Path, lock: int, descriptors: tuple[int, ...]) -> int:
    """Returns its exit status, 0 when it was ended because we are to end. The descriptors are its own, also when it
    cannot be started."""
    words = [sys.executable, "-P", "-m", "despina.deploy.supervisor", str(folder), str(lock), *map(str, descriptors)]
    end_with_us = die_with_parent(signal.SIGTERM)

    def begin() -> None:
        end_with_us()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAITED_FOR)

    try:
        process = subprocess.Popen(words, pass_fds=(lock, *descriptors), preexec_fn=begin)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    while (status := process.poll()) is None:
        if signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) == signal.SIGTERM:
            process.terminate()
            process.wait()
            return 0
    return status


if __name__ == "__main__":
    main()
