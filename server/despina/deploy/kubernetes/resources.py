"""How much of a node each container asks for.

`containerResourceRequirements` speaks of one container that holds everything. Here the server and the score workers are
two: in middleware mode each asks for half, and each may use up to the whole limit. The gate comes on top, with little.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.kubernetes.workload import Document
from despina.deploy.record import ModelRecord
from despina.deploy.service import Mode, ServiceSpec

CPU = 0.1
MEMORY_GB = 0.5
GPU = "nvidia.com/gpu"

GATE = {"requests": {"cpu": "100m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
FETCH = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


def with_defaults_of_models(said: DeploymentConfig, records: Sequence[ModelRecord]) -> DeploymentConfig:
    """What a deployment leaves open its models may have been registered with: the most that one of them asks for, as
    far as the deployment's limits allow."""
    asked = [record.description.resources for record in records]
    cores = _most((one.cpu_cores for one in asked), said.cpu_cores_limit)
    gigabytes = _most((one.memory_gb for one in asked), said.memory_gb_limit)
    gpus = max((one.gpu_cores for one in asked if one.gpu_cores is not None), default=None)
    return replace(
        said,
        cpu_cores=cores if said.cpu_cores is None else said.cpu_cores,
        memory_gb=gigabytes if said.memory_gb is None else said.memory_gb,
        gpu_cores=gpus if said.gpu_cores is None else said.gpu_cores,
    )


def _most(asked: Iterable[float | None], limit: float | None) -> float | None:
    most = max((one for one in asked if one is not None), default=None)
    return most if most is None or limit is None else min(most, limit)


def server_resources(spec: ServiceSpec) -> Document:
    """The inference server has the GPUs."""
    return _resources(spec, spec.deployment.gpu_cores or 0)


def score_resources(spec: ServiceSpec) -> Document:
    """Score workers have GPUs only when no inference server has them."""
    return _resources(spec, 0 if spec.mode is Mode.MIDDLEWARE else spec.deployment.gpu_cores or 0)


def _resources(spec: ServiceSpec, gpus: int) -> Document:
    said = spec.deployment
    share = 0.5 if spec.mode is Mode.MIDDLEWARE else 1.0
    # A request above its limit is refused, also one that nobody made: the default.
    cores = said.cpu_cores or min(CPU, said.cpu_cores_limit or CPU)
    gigabytes = said.memory_gb or min(MEMORY_GB, said.memory_gb_limit or MEMORY_GB)
    requests = {"cpu": cpu(cores * share), "memory": memory(gigabytes * share)}
    limits: dict[str, str] = {}
    if said.cpu_cores_limit is not None:
        limits["cpu"] = cpu(said.cpu_cores_limit)
    if said.memory_gb_limit is not None:
        limits["memory"] = memory(said.memory_gb_limit)
    if gpus:
        # Extended resources cannot be overcommitted: the request is the limit.
        requests[GPU] = limits[GPU] = str(gpus)
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def cpu(cores: float) -> str:
    """1.5 cores are `1500m`."""
    return f"{ceil(cores * 1000 - 1e-9)}m"


def memory(gigabytes: float) -> str:
    """GB of a deployment configuration are GiB; 0.5 is `512Mi`."""
    return f"{ceil(gigabytes * 1024 - 1e-9)}Mi"
