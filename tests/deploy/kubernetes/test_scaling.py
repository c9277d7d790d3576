from dataclasses import replace
from typing import Any

import pytest
from tests.support.workloads import workload

from despina.deploy.kubernetes.manifests import manifests
from despina.deploy.kubernetes.scaling import autoscaler, concurrent_requests, fixed_replicas, scaling_remarks
from despina.deploy.kubernetes.target import ScalingMetric
from despina.deploy.service import Mode


@pytest.mark.parametrize(
    ("config", "fixed", "bounds"),
    [
        ({}, None, (1, 10)),
        ({"numReplicas": 3}, 3, None),
        ({"autoScaler": {"autoscaleEnabled": False}, "numReplicas": 2}, 2, None),
        ({"autoScaler": {"autoscaleEnabled": True, "minReplicas": 2, "maxReplicas": 4}}, None, (2, 4)),
        ({"autoScaler": {"autoscaleEnabled": True, "minReplicas": 20}}, None, (20, 20)),
        ({"autoScaler": {"autoscaleEnabled": True, "maxReplicas": 1}}, None, (1, 1)),
    ],
)
def test_replicas_are_fixed_or_between_bounds(
    config: dict[str, Any], fixed: int | None, bounds: tuple[int, int] | None
) -> None:
    load = workload(**config)
    assert fixed_replicas(load.spec) == fixed
    document = autoscaler(load)
    found = None if document is None else (document["spec"]["minReplicas"], document["spec"]["maxReplicas"])
    assert found == bounds


def test_an_autoscaled_deployment_leaves_the_number_to_the_autoscaler() -> None:
    for config, expected in (({}, None), ({"numReplicas": 3}, 3)):
        (deployment,) = (one for one in manifests(workload(**config)) if one["kind"] == "Deployment")
        assert deployment["spec"].get("replicas") == expected


@pytest.mark.parametrize(
    ("mode", "variables", "config", "expected"),
    [
        (Mode.DIRECT, {}, {}, 32),
        (Mode.DIRECT, {}, {"maxConcurrentRequestsPerContainer": 8}, 8),
        (Mode.MIDDLEWARE, {"WORKER_COUNT": "4"}, {}, 32),
        (Mode.DEFAULT, {"WORKER_COUNT": "4"}, {}, 4),
        (Mode.DEFAULT, {}, {}, 1),
        (Mode.DEFAULT, {"WORKER_COUNT": "²"}, {}, 1),  # a digit, and no number
    ],
)
def test_what_a_replica_takes_at_a_time(
    mode: Mode, variables: dict[str, str], config: dict[str, Any], expected: int
) -> None:
    assert concurrent_requests(workload(mode, variables=variables, **config).spec) == expected


def test_in_flight_metric_is_the_utilized_part_of_what_a_replica_takes() -> None:
    load = replace(workload(maxConcurrentRequestsPerContainer=5), metric=ScalingMetric.IN_FLIGHT)
    document = autoscaler(load)
    assert document is not None
    (metric,) = document["spec"]["metrics"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "3500m"}
    assert list(scaling_remarks(load)) == []


def test_cpu_is_the_fallback_and_is_said() -> None:
    load = workload(gpuCores=1, autoScaler={"autoscaleEnabled": True, "targetUtilization": 60.4})
    document = autoscaler(load)
    assert document is not None
    (metric,) = document["spec"]["metrics"]
    assert metric["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    (remark,) = scaling_remarks(load)
    assert "looks at CPU, which says little about a GPU" in remark
    assert "despina_gate_requests_in_flight" in remark
    assert list(scaling_remarks(workload(numReplicas=3))) == []


@pytest.mark.parametrize("metric", [ScalingMetric.CPU, ScalingMetric.IN_FLIGHT])
def test_a_target_below_what_a_cluster_can_say_is_the_smallest_it_can(metric: ScalingMetric) -> None:
    scaler = {"autoscaleEnabled": True, "targetUtilization": 0.04}
    document = autoscaler(replace(workload(autoScaler=scaler, maxConcurrentRequestsPerContainer=1), metric=metric))
    assert document is not None
    target = document["spec"]["metrics"][0]
    if metric is ScalingMetric.CPU:
        assert target["resource"]["target"]["averageUtilization"] == 1
    else:
        assert target["pods"]["target"]["averageValue"] == "1m"


def test_a_refresh_period_is_ignored_with_a_word() -> None:
    load = workload(autoScaler={"autoscaleEnabled": True, "refreshPeriodInSeconds": 1})
    assert any("refreshPeriodInSeconds is ignored" in remark for remark in scaling_remarks(load))
