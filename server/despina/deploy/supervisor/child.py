"""One child process: started, watched, ended."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from despina.deploy.parent_death import die_with_parent


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `label` is what users call it."""

    label: str
    words: Sequence[str]
    environment: Mapping[str, str]
    directory: Path


class Child:
    """A running process with its output appended to a log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._group_ended = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Its exit status; below 0 the number of the signal that ended it. What it started has ended then, too."""
        status = await self._process.wait()
        if not self._group_ended:  # only once: the number may be somebody else's later
            self._group_ended = True
            self._kill_group()
        return status

    async def stop(self, seconds: float) -> None:
        """Asks it to end, and makes it after that time. One that has ended may have left something."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            self._kill_group()
            await self.wait()

    def _kill_group(self) -> None:
        # It leads a group of its own (start_new_session), which holds its workers too, and what scripts started.
        with suppress(ProcessLookupError, PermissionError):  # the latter where all that is left runs as somebody else
            os.killpg(self._process.pid, signal.SIGKILL)


async def start_child(command: Command, log: Path) -> Child:
    """Raises OSError: it cannot be started."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command.words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(command.environment),
            cwd=command.directory,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
    return Child(process)
