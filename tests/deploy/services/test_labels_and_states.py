"""What is said of services: their labels, the models they use, their states."""

import pytest
from tests.support.services import PID, Bench

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.label_change import LabelChange
from despina.deploy.reference import ModelReference
from despina.deploy.service import Mode, ServiceSpec, State
from despina.errors import InvalidArgument


def test_labels_change_without_a_restart(bench: Bench) -> None:
    bench.deploy(PID)
    pid = bench.ask()[1]
    spec = bench.services.label("svc", LabelChange("new", {"a": "b"}, add_properties={"p": "1"}))
    assert (spec.description, spec.tags, spec.properties) == ("new", {"a": "b"}, {"p": "1"})
    with pytest.raises(InvalidArgument, match="property p is set already"):
        bench.services.label("svc", LabelChange(add_properties={"p": "2"}))
    assert bench.services.label("svc", LabelChange("")).description == ""
    assert bench.ask() == (200, pid)


def test_model_in_use_is_known(bench: Bench) -> None:
    bench.deploy(PID)
    assert bench.services.using(ModelReference("m", 1)) == ["svc"]
    assert bench.services.using(ModelReference("m", 2)) == []


def test_of_all_services_only_those_that_are_gone_are_left_out_and_the_others_say_why_they_cannot_be_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        bench.folder(name).write_spec(ServiceSpec(name, 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    monkeypatch.setattr(bench.services, "names", lambda: ["gone", "one", "two"])
    assert [spec.name for spec, _ in bench.services.all()] == ["one", "two"]
    lost = DeploymentConfig("aks", compute_target_name="detached")
    bench.folder("two").write_spec(ServiceSpec("two", 1, Mode.DIRECT, ("m:1",), lost))
    (_, one), (_, two) = bench.services.all()
    assert (one.state, two.state) == (State.FAILED, State.UNKNOWN)
    assert (two.error or "").startswith("compute target detached is not attached")
    for name in ("one", "two"):
        bench.folder(name).remove()
