import os
import signal

import pytest
from tests.support.services import ANSWER, PID, SLEEPING, Bench, eventually

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.service import State
from despina.errors import Unsupported


def test_keys_open_and_are_rotated_without_a_restart(bench: Bench) -> None:
    bench.deploy(PID, auth_enabled=True)
    keys = bench.services.keys("svc")
    assert bench.ask()[0] == bench.ask("/", None)[0] == 401
    pid = bench.ask(key=keys.primary)[1]
    assert bench.ask(key=keys.secondary) == (200, pid)
    changed = bench.services.regenerate_key("svc", "Primary")
    assert bench.ask(key=keys.primary)[0] == 401
    assert bench.ask(key=keys.secondary) == bench.ask(key=changed.primary) == (200, pid)
    assert (bench.folder().path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert (bench.folder().path / "control.sock").stat().st_mode & 0o777 == 0o600


def test_new_key_of_what_is_to_come_does_not_shut_what_answers_without(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1))
    config = DeploymentConfig(auth_enabled=True)
    bench.services.deploy(DeployRequest("svc", ["m"], config, bench.script(SLEEPING), overwrite=True))
    bench.services.regenerate_key("svc", "Primary")
    assert bench.ask() == (200, 1)


def test_replaced_key_stays_replaced_when_the_service_is_updated(bench: Bench) -> None:
    bench.deploy(ANSWER.format(answer=1), auth_enabled=True, primary_key="first", secondary_key="second")
    bench.services.regenerate_key("svc", "Primary", "third")
    source = next(bench.root.glob("source-*"))
    deployment = bench.services.get("svc")[0].deployment
    bench.services.deploy(DeployRequest("svc", ["m"], deployment, InferenceSpec("score.py", source), overwrite=True))
    bench.services.wait("svc")
    assert [bench.ask(key=key)[0] for key in ("first", "second", "third")] == [401, 200, 200]


def test_service_that_lost_its_keys_is_not_open_to_all(bench: Bench) -> None:
    supervisor = bench.deploy(PID, auth_enabled=True).supervisor_pid
    assert supervisor is not None
    (bench.folder().path / "keys.json").unlink()
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: bench.services.get("svc")[1].state is State.FAILED)
    assert bench.services.get("svc")[1].error == "the keys of service svc are lost; deploy it again to have new ones"
    bench.deploy(PID, auth_enabled=True)
    assert bench.ask()[0] == 401
    assert bench.ask(key=bench.services.keys("svc").primary)[0] == 200


def test_service_without_keys_has_none_to_show(bench: Bench) -> None:
    bench.deploy(PID)
    with pytest.raises(Unsupported, match="deployed without authEnabled"):
        bench.services.keys("svc")
