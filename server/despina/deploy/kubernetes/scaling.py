"""How many replicas, and what decides.

As in the original, a service scales by itself unless `numReplicas` is given: 1 to 10 replicas, 70 % of what they can
take. What a replica can take is `maxConcurrentRequestsPerContainer`, the requests that may be in flight in it.
"""

from collections.abc import Iterator

from despina.deploy.kubernetes.pod.health import IN_FLIGHT
from despina.deploy.kubernetes.target import ScalingMetric
from despina.deploy.kubernetes.workload import Document, Workload
from despina.deploy.service import Mode, ServiceSpec

LEAST, MOST, UTILIZATION = 1, 10, 70
IN_FLIGHT_BEHIND_SERVER = 32
"""What a replica with an inference server takes when nothing is said: a few batches of usual size."""

SCALE_DOWN_SECONDS = 60


def autoscaled(spec: ServiceSpec) -> bool:
    said = spec.deployment
    return said.num_replicas is None if said.autoscale_enabled is None else said.autoscale_enabled


def fixed_replicas(spec: ServiceSpec) -> int | None:
    """None where an autoscaler decides."""
    return None if autoscaled(spec) else spec.deployment.num_replicas or 1


def concurrent_requests(spec: ServiceSpec) -> int:
    """How many requests one replica takes at a time."""
    if spec.deployment.replica_max_concurrent_requests is not None:
        return spec.deployment.replica_max_concurrent_requests
    if spec.mode is not Mode.DEFAULT or spec.script is None:
        return IN_FLIGHT_BEHIND_SERVER
    workers = spec.script.variables.get("WORKER_COUNT", "")
    return int(workers) if workers.isascii() and workers.isdigit() else 1


def autoscaler(load: Workload) -> Document | None:
    """Up at once, down after a quiet minute. None where the number of replicas is fixed."""
    if not autoscaled(load.spec):
        return None
    said = load.spec.deployment
    least = said.autoscale_min_replicas or LEAST
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": load.metadata(),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": load.name},
            "minReplicas": least,
            "maxReplicas": said.autoscale_max_replicas or max(MOST, least),
            "metrics": [_in_flight(load) if load.metric is ScalingMetric.IN_FLIGHT else _cpu(load)],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": SCALE_DOWN_SECONDS},
            },
        },
    }


def scaling_remarks(load: Workload) -> Iterator[str]:
    """What the user should know about it."""
    said = load.spec.deployment
    if not autoscaled(load.spec):
        return
    if said.autoscale_refresh_seconds is not None:
        yield "autoScaler.refreshPeriodInSeconds is ignored: the cluster's controller has one period for all (15 s)"
    if load.metric is ScalingMetric.CPU:
        gpu = ", which says little about a GPU" if said.gpu_cores else ""
        yield (
            f"the autoscaler looks at CPU{gpu}: requests in flight ({IN_FLIGHT}) need prometheus-adapter or "
            "another source of custom.metrics.k8s.io in the cluster"
        )


def _in_flight(load: Workload) -> Document:
    wanted = concurrent_requests(load.spec) * _utilization(load) / 100
    return {
        "type": "Pods",
        # A quantity with three decimals: 0.7 is 700m.
        "pods": {
            "metric": {"name": IN_FLIGHT},
            "target": {"type": "AverageValue", "averageValue": f"{max(1, round(wanted * 1000))}m"},
        },
    }


def _cpu(load: Workload) -> Document:
    target = {"type": "Utilization", "averageUtilization": max(1, round(_utilization(load)))}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _utilization(load: Workload) -> float:
    return load.spec.deployment.autoscale_target_utilization or UTILIZATION
