import asyncio
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.folder import ServiceFolder
from despina.deploy.gate.gate import Gate
from despina.deploy.gate.keys import Keys
from despina.deploy.gate.limits import GateLimits, limits_of
from despina.deploy.gate.upstreams import Upstreams
from despina.deploy.service import Mode, ServiceSpec, ServiceState, State
from despina.deploy.supervisor.generation import Generation
from despina.deploy.supervisor.supervisor import Supervisor


def test_service_ends_when_it_is_seen_that_its_folder_was_removed(tmp_path: Path) -> None:
    ended = asyncio.run(_look(ServiceFolder(tmp_path / "svc")))
    assert ended
    assert not (tmp_path / "svc").exists()


def test_service_with_its_folder_goes_on(tmp_path: Path) -> None:
    (tmp_path / "svc").mkdir()
    (tmp_path / "svc" / "spec.json").touch()
    assert not asyncio.run(_look(ServiceFolder(tmp_path / "svc")))


async def test_what_cannot_be_written_is_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    for change in ("write_state", "rotate_log"):
        monkeypatch.setattr(ServiceFolder, change, fail)
    folder = ServiceFolder(tmp_path)
    folder.write_spec(ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    one = Supervisor(folder)
    one._look_after_folder()
    one._deploy()
    async with asyncio.timeout(10):  # there is no repository, so it fails at once
        assert (await one._answer({"command": "wait"}))["state"] == "failed"
    await one._shut_down()


async def test_files_say_what_answers_as_soon_as_they_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("despina.deploy.supervisor.supervisor.RESTORE_SECONDS", 0.01)
    folder, write, tries = ServiceFolder(tmp_path), ServiceFolder.write_spec, [1, 2, 3]
    failed, kept = (ServiceSpec("svc", number, Mode.DIRECT, ("m:1",), DeploymentConfig()) for number in (2, 1))
    folder.write_spec(failed)

    def write_to_full_disk(folder: ServiceFolder, spec: ServiceSpec) -> None:
        tries.pop()
        if tries:
            raise OSError(28, "No space left on device")
        write(folder, spec)

    one = Supervisor(folder)
    one._gate, one._current = Gate("/", None, GateLimits()), Generation(kept, folder, lambda reason: None)
    monkeypatch.setattr(ServiceFolder, "write_spec", write_to_full_disk)
    with folder.operation():
        await one._failed(failed, "no weights", 0)
    async with asyncio.timeout(10):
        while folder.read_spec() != kept:
            await asyncio.sleep(0.01)


async def test_files_stay_while_what_they_say_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("despina.deploy.supervisor.supervisor.RESTORE_SECONDS", 0)
    folder = ServiceFolder(tmp_path)
    failed, kept = (ServiceSpec("svc", number, Mode.DIRECT, ("m:1",), DeploymentConfig()) for number in (2, 1))
    folder.write_spec(failed)

    one = Supervisor(folder)
    one._gate, one._current = Gate("/", None, GateLimits()), Generation(kept, folder, lambda reason: None)
    with folder.operation():
        await one._failed(failed, "no weights", 0)
    one._set(ServiceState(State.DEPLOYING))
    await asyncio.sleep(0.05)

    assert folder.read_spec() == failed


async def test_a_deployment_fails_also_where_the_file_of_the_service_was_damaged_meanwhile(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    failed, kept = (ServiceSpec("svc", number, Mode.DIRECT, ("m:1",), DeploymentConfig()) for number in (2, 1))
    (tmp_path / "spec.json").write_text("{")
    one = Supervisor(folder)
    one._gate, one._current = Gate("/", None, GateLimits()), Generation(kept, folder, lambda reason: None)
    await one._failed(failed, "no weights", 0)
    assert one._state.error == "generation 2 failed, generation 1 still answers: no weights"


async def test_part_of_a_generation_that_was_replaced_says_nothing_about_the_service(tmp_path: Path) -> None:
    folder = ServiceFolder(tmp_path)
    spec = ServiceSpec("svc", 2, Mode.DIRECT, ("m:1",), DeploymentConfig())
    folder.write_spec(spec)
    one = Supervisor(folder)
    before, current = (Generation(spec, folder, lambda reason: None) for _ in range(2))
    one._current = current
    one._set(ServiceState(State.RUNNING, 2))
    one._part_changed(before, "it died")
    assert one._state.state is State.RUNNING
    one._part_changed(current, "it died")
    assert (one._state.state, one._state.error) == (State.UNKNOWN, "it died")
    one._part_changed(current, None)
    assert (one._state.state, one._state.error) == (State.RUNNING, None)


def test_key_that_is_replaced_while_the_port_changes_opens_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ServiceFolder(tmp_path)
    folder.write_spec(ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig(auth_enabled=True)))
    folder.write_keys(Keys("old", "second"))

    async def start(generation: Generation) -> Upstreams:
        supervisors[0]._port = 1  # that of the generation before
        return Upstreams(None, None)

    async def listen(gate: Gate, host: str, port: int) -> int:
        if supervisors[0]._port is not None:
            folder.write_keys(Keys("new", "second"))
        return port

    monkeypatch.setattr(Generation, "start", start)
    monkeypatch.setattr(Gate, "listen", listen)
    supervisors: list[Supervisor] = []

    async def scenario() -> Keys | None:
        supervisors.append(one := Supervisor(folder))
        one._deploy()
        async with asyncio.timeout(10):
            assert (await one._answer({"command": "wait"}))["state"] == "running"
        assert one._gate is not None
        return one._gate.keys

    assert asyncio.run(scenario()) == Keys("new", "second")


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        (DeploymentConfig(), GateLimits(None, 0.5, None)),
        (
            DeploymentConfig(replica_max_concurrent_requests=2, max_request_wait_time=1500, scoring_timeout_ms=250),
            GateLimits(2, 1.5, 0.25),
        ),
    ],
)
def test_limits_of_the_gate_are_those_of_the_configuration(config: DeploymentConfig, limits: GateLimits) -> None:
    assert limits_of(config) == limits


async def _look(folder: ServiceFolder) -> bool:
    one = Supervisor(folder)
    one._look_after_folder()
    return one._stop.is_set()
