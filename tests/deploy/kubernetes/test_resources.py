"""What containers ask of a node."""

from dataclasses import replace

import pytest
from tests.support.workloads import RECORD

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.kubernetes.resources import cpu, memory, with_defaults_of_models
from despina.deploy.record import ModelDescription, ModelRecord, Resources


@pytest.mark.parametrize(
    ("cores", "expected"), [(1.5, "1500m"), (0.1, "100m"), (1.1, "1100m"), (0.0001, "1m"), (0.3333, "334m")]
)
def test_cores_are_thousandths_and_never_none(cores: float, expected: str) -> None:
    assert cpu(cores) == expected


@pytest.mark.parametrize(("gigabytes", "expected"), [(4, "4096Mi"), (0.5, "512Mi"), (0.3, "308Mi"), (0.0001, "1Mi")])
def test_memory_is_mebibytes_and_never_none(gigabytes: float, expected: str) -> None:
    assert memory(gigabytes) == expected


def registered(resources: Resources) -> ModelRecord:
    return replace(RECORD, description=ModelDescription("digits", "Multi", resources=resources))


def test_of_several_models_the_one_that_asks_for_most_counts() -> None:
    records = [registered(Resources(cpu_cores=2.0, memory_gb=1.0)), registered(Resources(1.0, 4.0, 1)), RECORD]
    for order in (records, records[::-1]):
        said = with_defaults_of_models(DeploymentConfig(), order)
        assert (said.cpu_cores, said.memory_gb, said.gpu_cores) == (2.0, 4.0, 1)
