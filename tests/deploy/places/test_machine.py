from dataclasses import replace
from pathlib import Path

import pytest

from despina.deploy.blobs import Blobs
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.folder import ServiceFolder
from despina.deploy.places import machine
from despina.deploy.places.machine import Machine, port_warnings
from despina.deploy.places.place import quiet
from despina.deploy.service import Mode, ScriptSpec, ServiceSpec, ServiceState, State

SPEC = ServiceSpec("svc", 1, Mode.MIDDLEWARE, ("m:1",), DeploymentConfig(), ScriptSpec("score.py"))
MOVED = ServiceState(State.RUNNING, 1, server_url="http://127.0.0.1:23456")


def test_server_that_is_not_where_scripts_are_printed_to_look_is_said() -> None:
    (warning,) = port_warnings(SPEC, MOVED)
    assert warning == (
        "port 8000 was taken, so the inference server of service svc is at localhost:23456: its entry script must "
        "connect to TRITON_HTTP_URL, which says so, not to localhost:8000"
    )


def test_nothing_is_said_where_nobody_would_look() -> None:
    assert list(port_warnings(SPEC, replace(MOVED, server_url="http://127.0.0.1:8000"))) == []
    assert list(port_warnings(replace(SPEC, mode=Mode.DIRECT, script=None), MOVED)) == []
    assert list(port_warnings(SPEC, replace(MOVED, error="generation 2 failed"))) == []
    assert list(port_warnings(SPEC, ServiceState(State.FAILED))) == []


def test_generation_that_somebody_else_prepares_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ServiceFolder(tmp_path / "svc")
    folder.write_spec(replace(SPEC, generation=4))
    for number in range(1, 7):
        folder.generation(number).mkdir(parents=True)
    monkeypatch.setattr(machine, "wait_until_settled", lambda folder: ServiceState(State.RUNNING, 2))
    Machine(folder, Blobs(tmp_path / "blobs")).wait(quiet)
    left = sorted(int(path.name) for path in (folder.path / "generations").iterdir())
    assert left == [2, 3, 4, 5, 6]
