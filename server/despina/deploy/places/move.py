"""Services stay where they are: what runs in the place before would run on, with nobody to end it."""

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.kubernetes.target import ComputeTargets
from despina.deploy.service import ServiceSpec
from despina.errors import InvalidArgument


def check_move(before: ServiceSpec, deployment: DeploymentConfig, targets: ComputeTargets) -> None:
    """Raises InvalidArgument: the service would be deployed elsewhere."""
    there, here = _where(before.deployment), _where(deployment)
    if there == here and deployment.compute_target_name is not None:
        default = targets.get(deployment.compute_target_name).namespace
        there += f", namespace {before.deployment.namespace or default}"
        here += f", namespace {deployment.namespace or default}"
    if there != here:
        raise InvalidArgument(
            f"service {before.name} runs {there}: delete it before it is deployed {here}, or choose another name"
        )


def _where(deployment: DeploymentConfig) -> str:
    name = deployment.compute_target_name
    return "on this machine" if name is None else f"in compute target {name}"
