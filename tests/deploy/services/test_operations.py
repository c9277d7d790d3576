"""What is the same for every operation on a service; nothing of it runs here."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.services import Bench

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.gate.keys import Keys
from despina.deploy.label_change import LabelChange
from despina.deploy.service import Mode, ServiceSpec
from despina.deploy.services import Services
from despina.errors import AlreadyExists, InvalidArgument, NotFound, Unsupported

OPERATIONS: list[Callable[[Services], object]] = [
    lambda services: services.deploy(DeployRequest("svc", ["m"], DeploymentConfig(), overwrite=True)),
    lambda services: services.regenerate_key("svc", "Primary"),
    lambda services: services.restart("svc"),
    lambda services: services.label("svc", LabelChange("new")),
    lambda services: services.delete("svc"),
]


def known(bench: Bench, config: DeploymentConfig) -> None:
    spec = ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), config, updated_time="2026-01-01T00:00:00+00:00")
    bench.folder().write_spec(spec)
    bench.folder().write_keys(Keys("first", "second"))


@pytest.mark.parametrize("operation", OPERATIONS, ids=["deploy", "regenerate key", "restart", "label", "delete"])
def test_none_begins_while_another_runs(bench: Bench, operation: Callable[[Services], object]) -> None:
    known(bench, DeploymentConfig(auth_enabled=True))
    running = pytest.raises(AlreadyExists, match="an operation on service svc is running already")
    with bench.folder().operation(), running:
        operation(bench.services)
    assert bench.services.keys("svc") == Keys("first", "second")


@pytest.mark.parametrize("name", ["../svc", "Svc", ".svc.1", "sv"])
def test_what_is_no_name_is_no_path(bench: Bench, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for operation in (
        lambda: bench.services.deploy(DeployRequest(name, ["m"], DeploymentConfig())),
        lambda: bench.services.delete(name),
    ):
        with pytest.raises(InvalidArgument, match="is not allowed: expected 3 to 32 lower-case letters"):
            operation()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_an_interrupted_removal_left_goes_with_the_next_operation(bench: Bench) -> None:
    left = bench.folder().path.parent / ".gone.1" / "gone"
    for operation in (
        lambda: bench.services.deploy(DeployRequest("svc", ["nothing"], DeploymentConfig())),
        lambda: bench.services.delete("svc"),
    ):
        left.mkdir(parents=True)
        with pytest.raises(NotFound):
            operation()
        assert not left.parent.exists()


def test_keys_that_open_nothing_any_more_are_not_shown(bench: Bench) -> None:
    known(bench, DeploymentConfig(auth_enabled=False))
    with pytest.raises(Unsupported, match="service svc has no keys: it was deployed without authEnabled"):
        bench.services.keys("svc")


def test_a_new_label_is_an_update(bench: Bench) -> None:
    known(bench, DeploymentConfig())
    assert bench.services.label("svc", LabelChange("new")).updated_time > "2026-01-01"
    assert bench.services.spec("svc").updated_time != "2026-01-01T00:00:00+00:00"
