"""What somebody wants to be deployed, and the specification that follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.record import ModelRecord
from despina.deploy.service import ScriptSpec, ServiceSpec, choose_mode
from despina.deploy.supervisor.commands import check_port, free_port


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """`models` as users write them, `NAME` or `NAME:VERSION`."""

    name: str
    models: Sequence[str]
    deployment: DeploymentConfig = field(default_factory=DeploymentConfig)
    inference: InferenceSpec | None = None
    overwrite: bool = False
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


def in_its_place(request: DeployRequest) -> DeployRequest:
    """What names a compute target is for a cluster, whatever type the configuration has."""
    if request.deployment.compute_target_name is None:
        return request
    return replace(request, deployment=replace(request.deployment, compute_type="aks"))


def make_spec(
    request: DeployRequest, records: Sequence[ModelRecord], before: ServiceSpec | None, now: str
) -> ServiceSpec:
    """The next generation of the service; `before` is the one that is there. Raises InvalidArgument: models and script
    do not go together, or the port is taken."""
    inference = request.inference
    frameworks = [record.description.framework for record in records]
    return ServiceSpec(
        name=request.name,
        generation=1 if before is None else before.generation + 1,
        mode=choose_mode(frameworks, scripted=inference is not None),
        models=tuple(record.id for record in records),
        deployment=request.deployment,
        script=None if inference is None else _script(inference),
        port=_port(request.deployment, before),
        description=request.description,
        tags=dict(request.tags),
        properties=dict(request.properties),
        created_time=now if before is None else before.created_time,
        updated_time=now,
    )


def _port(deployment: DeploymentConfig, before: ServiceSpec | None) -> int:
    """On this machine; in a cluster every service has the same."""
    if deployment.compute_target_name is not None:
        return 0
    if deployment.port is None:
        return free_port() if before is None else before.port
    if before is None or before.port != deployment.port:
        check_port(deployment.port)
    return deployment.port


def _script(inference: InferenceSpec) -> ScriptSpec:
    environment = inference.environment
    return ScriptSpec(
        inference.entry_script,
        {} if environment is None else dict(environment.variables),
        None if environment is None else environment.name,
    )
