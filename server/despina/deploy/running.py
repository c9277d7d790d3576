"""Whether a service runs, and starting and ending its processes."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from despina.deploy.folder import ServiceFolder
from despina.deploy.service import DELETED, ServiceSpec, ServiceState, State
from despina.deploy.supervisor.control import ask
from despina.deploy.supervisor.guard import LOCK
from despina.errors import Unavailable

ASK_SECONDS = 5.0
PAUSE_SECONDS = 0.05


def current_state(folder: ServiceFolder) -> ServiceState:
    """What the supervisor says, else what it last wrote, as far as that can still be true."""
    try:
        answer = ask(folder.path, {"command": "state"}, timeout=ASK_SECONDS)
    except Unavailable as error:
        return ServiceState(State.UNKNOWN, folder.read_state().generation, error.message)
    if answer is not None:
        return ServiceState.from_json(answer)
    if not folder.exists:
        return ServiceState(State.DELETED, error=DELETED)
    written = folder.read_state()
    if written.state is State.FAILED:
        return written
    if written.state is State.DELETED:
        return replace(
            written, error="it is being deleted; where that was interrupted `despina service delete` goes on"
        )
    if not _runs(folder):
        reason = "the processes of this service are gone; `despina service restart` starts them"
        return ServiceState(State.FAILED, written.generation, reason, tuple(folder.tail(30)))
    if written.supervisor_pid is None:  # none has said anything since the start
        return ServiceState(State.DEPLOYING, written.generation, "its supervisor is being started")
    return ServiceState(State.UNKNOWN, written.generation, "the supervisor died and is being started again")


def wait_until_settled(folder: ServiceFolder) -> ServiceState:
    """Returns when no deployment of the service is under way."""
    answer = ask(folder.path, {"command": "wait"})
    return current_state(folder) if answer is None else ServiceState.from_json(answer)


def start_or_tell(folder: ServiceFolder, before: ServiceSpec | None = None) -> None:
    """Has the service follow its files: tells its supervisor, or starts one. `before` is what the files said until
    now."""
    told = {"command": "deploy", "before": None if before is None else before.to_json()}
    answer = ask(folder.path, told, timeout=ASK_SECONDS)
    if answer is not None and "ending" not in answer:
        return
    if answer is None:  # a guard is about to end, or waits before it starts the supervisor again
        _end_guard(folder)
    start(folder)


def start(folder: ServiceFolder) -> None:
    """Starts a guard, after the end of the one before, and returns when its supervisor can be asked (or has ended)."""
    reading, writing = os.pipe()
    with open(reading, "rb") as ready:
        try:
            process = _start_guard(folder, writing)
        finally:
            os.close(writing)
        ready.read()  # ends when the supervisor closes its end
        process.wait()  # the guard itself is a fork of this one


def _start_guard(folder: ServiceFolder, ready: int) -> subprocess.Popen[bytes]:
    # It inherits the lock: at no time between may the service seem to have no processes.
    with _locked(folder) as lock, folder.log.open("ab") as log:
        os.truncate(lock, 0)  # the pid of the guard before may be somebody else's by now
        folder.write_state(ServiceState(State.DEPLOYING))
        words = [sys.executable, "-P", "-m", "despina.deploy.supervisor.guard", str(folder.path), str(lock), str(ready)]
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock, ready),
            start_new_session=True,
            cwd=folder.path,
        )


def stop(folder: ServiceFolder) -> None:
    """Ends the processes of a service and returns when they are gone."""
    told = ask(folder.path, {"command": "stop"}, timeout=ASK_SECONDS)
    if told is None:
        _end_guard(folder)
    with _locked(folder):
        pass


def _end_guard(folder: ServiceFolder) -> None:
    while (pid := guard_pid(folder)) is None and _runs(folder):
        time.sleep(PAUSE_SECONDS)  # whoever started it has been killed before it could say who it is; it is about to
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


@contextmanager
def _locked(folder: ServiceFolder) -> Iterator[int]:
    """Holds the service's lock, as soon as no process of the service does."""
    with (folder.path / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def guard_pid(folder: ServiceFolder) -> int | None:
    """The process that keeps the service running; None when it does not run, or not yet."""
    if not _runs(folder):
        return None
    return int((folder.path / LOCK).read_bytes() or b"0") or None


def _runs(folder: ServiceFolder) -> bool:
    """Whether somebody holds the service's lock: a guard, a supervisor, or who starts them."""
    with suppress(FileNotFoundError), (folder.path / LOCK).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
