"""Services whose `spec.json` cannot be read."""

import json
import re
from typing import Any

import pytest
from tests.support.services import PID, Bench, gone, processes

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.service import Mode, ServiceSpec, State
from despina.deploy.service_record import describe
from despina.errors import Internal


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"name": "two"}', '{"script": null, "name": "two", "generation": 1}']
)
def test_a_damaged_service_hides_no_other_and_can_be_deleted(bench: Bench, content: str) -> None:
    for name in ("one", "two"):
        bench.folder(name).write_spec(ServiceSpec(name, 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    (bench.folder("two").path / "spec.json").write_text(content)
    (one, _), (two, damaged) = bench.services.all()
    assert (one.name, two.name, damaged.state) == ("one", "two", State.DAMAGED)
    assert re.fullmatch(
        r".*/two/spec.json is damaged: .*; restore it, or end the service with `despina service delete -n two`",
        damaged.error or "",
    )
    shown = describe(two, damaged, "w")
    assert (shown["state"], shown["mode"], shown["scoringUri"]) == ("damaged", "unknown", None)
    with pytest.raises(Internal, match=r"spec\.json is damaged"):
        bench.services.get("two")
    bench.services.delete("two")
    assert bench.services.names() == ["one"]
    bench.folder("one").remove()


@pytest.mark.parametrize(
    ("field", "value"), [("tags", None), ("properties", 1), ("deployment", {"computeType": "moon"})]
)
def test_a_service_is_damaged_by_a_value_that_cannot_be(bench: Bench, field: str, value: Any) -> None:
    spec = ServiceSpec("two", 1, Mode.DIRECT, ("m:1",), DeploymentConfig())
    bench.folder("two").write_spec(spec)
    (bench.folder("two").path / "spec.json").write_text(json.dumps({**spec.to_json(), field: value}))
    ((_, state),) = bench.services.all()
    assert state.state is State.DAMAGED


def test_the_processes_of_a_damaged_service_end_with_it(bench: Bench) -> None:
    said: list[str] = []
    bench.deploy(PID)
    pids = processes(bench)
    (bench.folder().path / "spec.json").write_text("{")
    bench.services.delete("svc", said.append)
    gone(pids)
    assert said == []


def test_where_a_damaged_service_ran_in_a_cluster_it_is_said_how_it_ends_there(bench: Bench) -> None:
    said: list[str] = []
    bench.folder().write_spec(ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig("aks")))
    (bench.folder().path / "spec.json").write_text("{")
    bench.services.delete("svc", said.append)
    (warning,) = said
    assert "`kubectl delete deployment,service," in warning
    assert "app.kubernetes.io/instance=svc" in warning
