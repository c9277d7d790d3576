"""What should be told of a deployment that is possible all the same."""

from collections.abc import Iterator, Sequence

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.environment import missing_packages
from despina.deploy.record import ModelRecord
from despina.deploy.service import Mode, ServiceSpec


def deployment_warnings(request: DeployRequest, spec: ServiceSpec, records: Sequence[ModelRecord]) -> Iterator[str]:
    """One sentence each. `spec` is what was made of the request, `records` are its models."""
    for record in records:
        if spec.mode is Mode.DEFAULT and record.holds_repository:
            yield (
                f"model {record.id} holds a model repository, but its framework is {record.description.framework}: no "
                "inference server runs beside the script; register the model with --model-framework=Multi to have one"
            )
    if spec.mode is not Mode.DEFAULT and spec.deployment.replica_max_concurrent_requests == 1:
        yield (
            "maxConcurrentRequestsPerContainer 1 lets one request at a time reach the model, so no two can share a "
            "batch; in front of a batching server set it to at least max_batch_size times the instances"
        )
    if spec.deployment.compute_target_name is not None and spec.deployment.port is not None:
        yield "port is ignored: in a cluster the compute target says how a service is reached"
    if spec.deployment.compute_target_name is None and (pods := sorted(_for_pods(spec.deployment))):
        yield f"{', '.join(pods)}: ignored on this machine; a cluster (--compute-target) heeds them"
    if not spec.deployment.keyed and (spec.deployment.primary_key or spec.deployment.secondary_key):
        yield "keys are ignored: requests need none, because authEnabled does not say so"
    environment = None if request.inference is None else request.inference.environment
    missing = [] if environment is None else missing_packages(environment.packages)
    if environment is not None and missing:
        yield (
            f"environment {environment.name} names packages that are not installed here: "
            f"{', '.join(missing)}; pip install {' '.join(missing)}"
        )


def _for_pods(deployment: DeploymentConfig) -> set[str]:
    """The keys of a configuration that only a cluster can heed."""
    said = deployment.to_json()
    return said.keys() & {
        *("containerResourceRequirements", "gpuCores", "numReplicas", "autoScaler"),
        *("livenessProbeRequirements", "namespace"),
    }
