"""`python -m despina.deploy.kubernetes.pod.gate`: the gate of a pod, in front of its neighbours."""

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

import uvloop

from despina.deploy.gate.gate import Gate
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import GateLimits, limits_of
from despina.deploy.gate.routing import Destination
from despina.deploy.gate.upstreams import Address, Upstreams
from despina.deploy.http_status import status_of
from despina.deploy.kubernetes.pod.contents import PodContents
from despina.deploy.kubernetes.pod.health import Health
from despina.deploy.kubernetes.pod.places import (
    CONFIG_FOLDER,
    GATE_PORT,
    KEYS_FOLDER,
    LOOPBACK,
    PROBE_PORT,
    SCORE_PORT,
    SERVER_PORT,
    SERVICE_FILE,
)
from despina.deploy.score.logs import log_to_stderr
from despina.deploy.service import Mode, ServiceSpec

log = logging.getLogger("despina.service")

KEYS_SECONDS = 5.0
"""How often the keys are read. The kubelet takes up to a minute to bring a new Secret; nothing tells of it."""

UNLISTED_SECONDS = 5.0
"""How long an ending pod answers on, until no router sends it anything."""

DRAIN_SECONDS = 30.0
"""How long an ending pod waits for its requests at least: for answers on their way to slow clients."""

SCORING_MS = 60_000


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Where a gate listens, how often it reads its keys, how slowly it ends."""

    host: str = "0.0.0.0"
    gate_port: int = GATE_PORT
    probe_port: int = PROBE_PORT
    unlisted_seconds: float = UNLISTED_SECONDS
    keys_seconds: float = KEYS_SECONDS


def gate_limits(spec: ServiceSpec) -> GateLimits:
    """With a cluster's default of 60 s for an answer."""
    return limits_of(spec.deployment, SCORING_MS)


def drain_seconds(limits: GateLimits) -> float:
    """How long requests in flight may take to end: as long as any may take."""
    return max(DRAIN_SECONDS, limits.queue_seconds + (limits.answer_seconds or 0))


def read_keys(folder: Path) -> Keys:
    """The keys of a mounted Secret."""
    return Keys((folder / "primaryKey").read_text().strip(), (folder / "secondaryKey").read_text().strip())


def neighbours(spec: ServiceSpec) -> Upstreams:
    """What the mode puts behind the gate."""
    server = None if spec.mode is Mode.DEFAULT else Address(LOOPBACK, SERVER_PORT)
    score = None if spec.mode is Mode.DIRECT else Address(LOOPBACK, SCORE_PORT)
    return Upstreams(server, score)


async def answering(upstreams: Upstreams) -> bool:
    """Whether the inference server is ready and the score workers accept.

    Workers that are all busy do not answer a probe, and are ready all the same.
    """
    for destination, address in upstreams.addresses.items():
        if destination is Destination.SERVER:
            if await status_of(address.host, address.port, "/v2/health/ready") != 200:
                return False
        elif not await _accepts(address):
            return False
    return True


async def run_gate(
    spec: ServiceSpec, keys_folder: Path, upstreams: Upstreams, settings: GateSettings, stop: asyncio.Event
) -> None:
    """Serves until `stop`; then answers on for a while, and lets requests in flight end."""
    keys = read_keys(keys_folder) if spec.deployment.keyed else None
    limits = gate_limits(spec)
    gate = Gate(spec.base_path, keys, limits)
    gate.upstreams = upstreams
    health = Health(gate, spec.name, lambda: answering(upstreams))
    await gate.listen(settings.host, settings.gate_port)
    probes = await health.listen(settings.host, settings.probe_port)
    watcher = asyncio.create_task(_follow_keys(gate, keys_folder, settings.keys_seconds)) if keys is not None else None
    log.info("service %s, %s mode: port %d", spec.name, spec.mode, settings.gate_port)
    await stop.wait()
    health.ending = True
    await asyncio.sleep(settings.unlisted_seconds)
    await gate.close(drain_seconds(limits))
    if watcher is not None:
        watcher.cancel()
    probes.close()


async def _accepts(address: Address) -> bool:
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:  # TimeoutError is one
        return False
    writer.close()
    return True


async def _follow_keys(gate: Gate, folder: Path, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            keys = read_keys(folder)
        except OSError as error:
            log.error("the keys cannot be read, the ones before stay: %s", error)
            continue
        if keys != gate.keys:
            gate.keys = keys
            log.info("new keys")


async def _main() -> None:
    spec = PodContents.from_text((CONFIG_FOLDER / SERVICE_FILE).read_bytes()).spec
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_gate(spec, KEYS_FOLDER, neighbours(spec), GateSettings(), stop)


def main() -> None:
    log_to_stderr()
    uvloop.run(_main())


if __name__ == "__main__":
    main()
