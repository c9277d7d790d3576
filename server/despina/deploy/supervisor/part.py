"""One part of a generation: a command that is kept running."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from despina.deploy.http_status import status_of
from despina.deploy.supervisor.child import Child, Command, start_child
from despina.deploy.supervisor.commands import HOST
from despina.deploy.supervisor.listening import has_port

log = logging.getLogger("despina.service")

PAUSE_SECONDS = 0.05
STEADY_SECONDS = 60.0
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0


class StartFailed(Exception):
    """A part did not come up; the message says which and how it ended."""


class Part:
    """A child, started again with a growing delay when it dies. Its port stays the same."""

    def __init__(
        self, command: Command, port: int, health: str, log_file: Path, changed: Callable[[str | None], None]
    ) -> None:
        """`changed` is told a reason when the part dies, and None when it answers again."""
        self._command = command
        self.port = port
        self._health = health
        self._log_file = log_file
        self._changed = changed
        self._child: Child | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, seconds: float) -> None:
        """Returns when it answers. Raises StartFailed: it ended, or did not answer in that time."""
        try:
            async with asyncio.timeout(seconds):
                await self._start_once()
        except TimeoutError:
            await self.stop()
            raise StartFailed(f"{self._command.label} did not become ready in {seconds:.0f} s") from None
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self, seconds: float = 30.0) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        if self._child is not None:
            await self._child.stop(seconds)

    async def _start_once(self) -> None:
        try:
            self._child = child = await start_child(self._command, self._log_file)
        except (OSError, ValueError) as error:  # the latter for variables that are no text
            raise StartFailed(f"{self._command.label} cannot be started: {error}") from None
        log.info("started %s, process %d, port %d", self._command.label, child.pid, self.port)
        if not await self._answers(child):
            raise StartFailed(f"{self._command.label} {_how(await child.wait())} before it was ready")

    async def _answers(self, child: Child) -> bool:
        """True when a GET gives 200, and it is the child's answer; False when the child ends before.

        A server says only by answering that it can; so this asks, 20 times a second, while the child lives.
        """
        while not child.ended:
            # Somebody else's server may have been faster to the port; its answer says nothing about ours.
            if await status_of(HOST, self.port, self._health) == 200 and has_port(child.pid, self.port):
                return True
            await asyncio.sleep(PAUSE_SECONDS)
        return False

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY_SECONDS
        while True:
            assert self._child is not None
            since = loop.time()
            how = f"{self._command.label} {_how(await self._child.wait())}"
            if loop.time() - since > STEADY_SECONDS:
                delay = FIRST_DELAY_SECONDS
            self._changed(f"{how}; it is started again in {delay:g} s")
            log.error("%s; starting it again in %g s", how, delay)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)
            try:
                await self._start_once()
            except StartFailed as error:
                log.error("%s", error)
            else:
                self._changed(None)


def _how(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
