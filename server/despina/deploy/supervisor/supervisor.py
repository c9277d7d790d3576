"""Runs one service: the gate in front of the generation that answers now."""

import asyncio
import logging
import os
import signal
from contextlib import suppress
from dataclasses import replace
from typing import Any

from despina.deploy.folder import ServiceFolder
from despina.deploy.gate.gate import Gate
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import limits_of
from despina.deploy.service import DELETED, ServiceSpec, ServiceState, State
from despina.deploy.supervisor.commands import HOST
from despina.deploy.supervisor.control import listen
from despina.deploy.supervisor.generation import DRAIN_SECONDS, Generation
from despina.deploy.supervisor.part import StartFailed
from despina.errors import AlreadyExists, DespinaError, Internal, NotFound

log = logging.getLogger("despina.service")

LOOK_SECONDS = 60.0
"""How often it is looked whether the log has grown too large, and the folder is still there."""

REFUSAL_SECONDS = 1.0

RESTORE_SECONDS = 10.0
"""How soon it is tried again to put files right, where somebody has locked them or the disk is full."""

SHOWN_LINES = 100
"""Enough for the tracebacks of a few workers that fail at once."""


class Supervisor:
    """Follows the files of a service's folder when told that they changed."""

    def __init__(self, folder: ServiceFolder) -> None:
        self._folder = folder
        self._state = ServiceState(State.DEPLOYING, supervisor_pid=os.getpid())
        self._changed = asyncio.Condition()
        self._current: Generation | None = None
        self._gate: Gate | None = None
        self._port: int | None = None
        self._stop = asyncio.Event()
        self._deploying: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, ready: int | None) -> None:
        """Until told to stop, or until the first deployment fails. `ready` is a descriptor closed when it listens."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        control = await listen(self._folder.path, self._answer)
        self._deploy()
        self._look_after_folder()
        if ready is not None:
            os.close(ready)
        await self._stop.wait()
        await self._shut_down()
        control.close()

    # What others ask

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("command"):
            case "deploy" if self._stop.is_set():  # too late: whoever asks starts another supervisor after this one
                return {**self._state.to_json(), "ending": True}
            case "deploy":
                self._remember(request.get("before"))
                self._deploy()
            case "keys":
                if self._gate is not None:
                    # Of what answers now; the file may be about what comes, or did not come up.
                    spec = self._folder.read_spec() if self._current is None else self._current.spec
                    self._gate.keys = self._keys(spec)
            case "wait":
                await self._settled()
            case "stop":
                # Whoever waits for a deployment is told why it never comes.
                self._set(replace(self._state, state=State.DELETED, error=DELETED, log=()))
                self._stop.set()
        return self._state.to_json()

    async def _settled(self) -> None:
        """Returns when no deployment is under way."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._state.state.final)

    # Deploying

    def _remember(self, before: dict[str, Any] | None) -> None:
        """What was said about the current generation since it started: restored if its successor fails."""
        if self._current is not None and before is not None and before["generation"] == self._current.spec.generation:
            self._current.spec = ServiceSpec.from_json(before)

    def _deploy(self) -> None:
        spec = self._folder.read_spec()
        if self._state.state is not State.DEPLOYING or self._deploying is None:
            self._rotate_log()
        self._set(replace(self._state, state=State.DEPLOYING, error=None, log=()))
        if self._deploying is not None:
            self._deploying.cancel()  # a newer wish counts
        self._deploying = self._spawn(self._bring_up(spec))

    async def _bring_up(self, spec: ServiceSpec) -> None:
        offset = self._folder.log.stat().st_size if self._folder.log.exists() else 0
        generation = Generation(spec, self._folder, lambda reason: self._part_changed(generation, reason))
        try:
            if self._current is None:
                await self._open_gate(spec)
            upstreams = await generation.start()
            try:
                self._keys(spec)  # or it fails before the port changes
                await self._open_gate(spec)  # with another port only now, so that the old one answers until then
                keys = self._keys(spec)  # read last: one that was replaced meanwhile must not open
            except BaseException:
                await generation.stop()
                raise
        except (StartFailed, OSError, DespinaError) as error:
            await self._failed(spec, str(error), offset)
            return
        assert self._gate is not None
        self._gate.keys = keys
        self._gate.set_limits(limits_of(spec.deployment))
        self._gate.upstreams = upstreams
        before, self._current = self._current, generation
        server_url = None if generation.server_port is None else f"http://{HOST}:{generation.server_port}"
        self._set(replace(self._state, state=State.RUNNING, generation=spec.generation, server_url=server_url))
        log.info("service %s runs, generation %d", spec.name, spec.generation)
        if before is not None:
            self._spawn(before.drain())

    async def _open_gate(self, spec: ServiceSpec) -> None:
        if self._gate is None:
            self._gate = Gate(spec.base_path, self._keys(spec), limits_of(spec.deployment))
            self._gate.reason = f"service {spec.name} is being deployed"
        if spec.port != self._port:
            await self._gate.listen(HOST, spec.port)
            self._port = spec.port

    async def _failed(self, spec: ServiceSpec, reason: str, offset: int) -> None:
        log.error("deployment of generation %d failed: %s", spec.generation, reason)
        lines = tuple(self._folder.tail(SHOWN_LINES, offset))
        if self._current is None:
            self._set(replace(self._state, state=State.FAILED, error=reason, log=lines))
            self._stop.set()
            return
        kept = self._current.spec.generation
        self._restore(spec)
        error = f"generation {spec.generation} failed, generation {kept} still answers: {reason}"
        self._set(replace(self._state, state=State.RUNNING, generation=kept, error=error, log=lines))

    def _restore(self, failed: ServiceSpec) -> None:
        """Makes the files say again what answers: a supervisor after this one, and every command, goes by them."""
        assert self._gate is not None
        assert self._current is not None
        kept = self._current.spec
        if failed.generation == kept.generation or not self._folder.exists:
            return
        try:
            with suppress(NotFound), self._folder.operation():
                if self._folder.read_spec().generation == failed.generation:
                    self._folder.write_spec(kept)
                    if self._gate.keys is not None:
                        self._folder.write_keys(self._gate.keys)
        except AlreadyExists:  # who has the lock may bring something newer, or fail before
            self._restore_later(failed)
        except (OSError, Internal) as error:  # the latter where the file is damaged
            log.error("generation %d still answers, and the files cannot say so: %s", kept.generation, error)
            self._restore_later(failed)

    def _restore_later(self, failed: ServiceSpec) -> None:
        def again() -> None:
            if self._state.state is not State.DEPLOYING:  # a deployment that fails restores by itself
                self._restore(failed)

        asyncio.get_running_loop().call_later(RESTORE_SECONDS, again)

    def _part_changed(self, generation: Generation, reason: str | None) -> None:
        if self._is_abandoned():  # most likely the part died of it, and so will its successors
            return
        if generation is self._current and self._state.state in (State.RUNNING, State.UNKNOWN):
            state = State.RUNNING if reason is None else State.UNKNOWN
            self._set(replace(self._state, state=state, error=reason))

    def _keys(self, spec: ServiceSpec) -> Keys | None:
        """Those that requests need; None where they need none. Raises NotFound: they are lost; it must not be open to
        all for that."""
        if not spec.deployment.keyed:
            return None
        keys = self._folder.read_keys()
        if keys is None:
            raise NotFound(f"the keys of service {spec.name} are lost; deploy it again to have new ones")
        return keys

    def _look_after_folder(self) -> None:
        if self._is_abandoned():
            return
        # Not while a deployment is under way: its log begins at an offset.
        if self._state.state is not State.DEPLOYING:
            self._rotate_log()
        asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look_after_folder)

    def _rotate_log(self) -> None:
        try:
            self._folder.rotate_log()
        except OSError as error:
            log.error("the log cannot be moved away: %s", error)

    def _is_abandoned(self) -> bool:
        """Ends the service when somebody removed its folder: no command could reach it any more."""
        if self._folder.exists:
            return False
        if not self._stop.is_set():
            log.error("the folder of service %s was removed; ending its processes", self._folder.name)
            self._stop.set()
        return True

    # The end

    async def _shut_down(self) -> None:
        if self._gate is not None:
            # Where nothing has answered yet there is nothing to wait for but refusals on their way.
            await self._gate.close(DRAIN_SECONDS if self._current is not None else REFUSAL_SECONDS)
        if self._deploying is not None:
            self._deploying.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._current is not None:
            await self._current.stop()

    # State

    def _set(self, state: ServiceState) -> None:
        self._state = state
        try:
            self._folder.write_state(state)
        except OSError as error:  # who asks is told all the same
            log.error("the state cannot be written: %s", error)
        self._spawn(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
