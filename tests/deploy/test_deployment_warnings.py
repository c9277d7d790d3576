from typing import Any

import pytest
from tests.support.workloads import workload

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.deployment_warnings import deployment_warnings
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import EnvironmentSpec
from despina.deploy.service import Mode, ServiceSpec

LOCAL: dict[str, Any] = {"auth_enabled": False}
CLUSTER: dict[str, Any] = {"compute_type": "aks", "compute_target_name": "cluster"}


@pytest.mark.parametrize(
    ("mode", "config", "begins"),
    [
        (Mode.DIRECT, LOCAL, []),
        (Mode.DIRECT, CLUSTER, []),
        (Mode.DIRECT, {"replica_max_concurrent_requests": 1}, ["maxConcurrentRequestsPerContainer 1"]),
        (Mode.DIRECT, {"replica_max_concurrent_requests": 2}, []),
        (Mode.DEFAULT, {"replica_max_concurrent_requests": 1}, []),
        (Mode.DIRECT, {"port": 6789}, []),
        (Mode.DIRECT, {**CLUSTER, "port": 6789}, ["port is ignored"]),
        (Mode.DIRECT, {"num_replicas": 2, "namespace": "ml"}, ["namespace, numReplicas: ignored on this machine"]),
        (Mode.DIRECT, {**CLUSTER, "num_replicas": 2, "namespace": "ml"}, []),
        (Mode.DIRECT, {"secondary_key": "second"}, ["keys are ignored"]),
        (Mode.DIRECT, {"secondary_key": "second", "auth_enabled": True}, []),
    ],
)
def test_what_is_said_of_a_configuration(mode: Mode, config: dict[str, Any], begins: list[str]) -> None:
    said = warnings(mode, DeploymentConfig(**config))
    assert [line[: len(begin)] for line, begin in zip(said, begins, strict=True)] == begins


def test_packages_that_are_missing_are_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = EnvironmentSpec("e", packages=("numpy==1.0", "no-such-package==2"))
    inference = InferenceSpec("score.py", tmp_path_factory.mktemp("source"), environment)
    assert warnings(Mode.DEFAULT, DeploymentConfig(), inference) == [
        "environment e names packages that are not installed here: no-such-package; pip install no-such-package"
    ]


def test_repository_beside_a_server_is_where_it_belongs() -> None:
    (record,) = workload().records
    assert record.holds_repository
    spec = ServiceSpec("svc", 1, Mode.DIRECT, (record.id,), DeploymentConfig())
    assert list(deployment_warnings(DeployRequest("svc", ["m"]), spec, [record])) == []


def warnings(mode: Mode, config: DeploymentConfig, inference: InferenceSpec | None = None) -> list[str]:
    request = DeployRequest("svc", ["m"], config, inference)
    return list(deployment_warnings(request, ServiceSpec("svc", 1, mode, ("m:1",), config), []))
