"""One generation of a service: its children, and where they answer."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from despina.deploy.folder import ServiceFolder
from despina.deploy.gate.upstreams import Address, Upstreams
from despina.deploy.prepare import REPOSITORY
from despina.deploy.service import Mode, ServiceSpec
from despina.deploy.supervisor.commands import HOST, PROMISED_PORT, free_port, score_command, server_command
from despina.deploy.supervisor.part import Part, StartFailed

START_SECONDS = 310.0
"""The default initial delay of the liveness probe: just over a worker's own timeout."""

DRAIN_SECONDS = 30.0


class Generation:
    """`changed` is told when a part dies (with a reason) and when it is back (None)."""

    def __init__(self, spec: ServiceSpec, folder: ServiceFolder, changed: Callable[[str | None], None]) -> None:
        self.spec = spec
        self.upstreams: Upstreams | None = None
        self.server_port: int | None = None
        self._root = folder.generation(spec.generation)
        self._log_file = folder.log
        self._changed = changed
        self._parts: list[Part] = []

    async def start(self) -> Upstreams:
        """Starts the children, the inference server first, and returns when all answer. Raises StartFailed: one did not
        come up; all are ended then."""
        seconds = max(START_SECONDS, self.spec.deployment.initial_delay_seconds or 0)
        try:
            server = await self._start_server(seconds) if self.spec.mode is not Mode.DEFAULT else None
            score = await self._start_score(seconds) if self.spec.script is not None else None
        except BaseException:
            await self.stop()
            raise
        self.upstreams = Upstreams(server, score)
        return self.upstreams

    async def drain(self) -> None:
        """Waits for the requests in flight, then ends the children."""
        if self.upstreams is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self.upstreams.quiet()
        await self.stop()

    async def stop(self) -> None:
        if self.upstreams is not None:
            self.upstreams.close()
        parts, self._parts = self._parts, []
        await asyncio.gather(*(part.stop() for part in parts))

    async def _start_server(self, seconds: float) -> Address:
        # Only beside a script does anybody expect it at a known port, unless that is to be the gate's.
        expected = self.spec.mode is Mode.MIDDLEWARE and self.spec.port != PROMISED_PORT
        port = free_port(PROMISED_PORT if expected else None)
        try:
            return await self._start_server_at(port, seconds)
        except StartFailed:
            if free_port(port) == port:
                raise
            # Between the look and the server's own attempt somebody else took it: another service, most likely.
            return await self._start_server_at(free_port(), seconds)

    async def _start_server_at(self, port: int, seconds: float) -> Address:
        self.server_port = port
        command = server_command(self.spec, self._repository(), port)
        return await self._start(Part(command, port, "/v2/health/ready", *self._watched()), seconds)

    async def _start_score(self, seconds: float) -> Address:
        port = free_port()
        command = score_command(self.spec, self._root, port, self.server_port)
        return await self._start(Part(command, port, "/", *self._watched()), seconds)

    def _watched(self) -> tuple[Path, Callable[[str | None], None]]:
        return self._log_file, self._changed

    async def _start(self, part: Part, seconds: float) -> Address:
        self._parts.append(part)  # before it starts, so that a cancelled start is ended too
        await part.start(seconds)
        return Address(HOST, part.port)

    def _repository(self) -> Path:
        link = self._root / REPOSITORY
        if not link.exists():
            raise StartFailed(f"{link} is missing: the models of this service were not laid out")
        return link.resolve()
