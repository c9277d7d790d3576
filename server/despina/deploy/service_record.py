"""A service as users see it."""

from typing import Any

from despina.deploy.service import Mode, ServiceSpec, ServiceState, State
from despina.errors import Unavailable, Unsupported


def describe(spec: ServiceSpec, state: ServiceState, workspace: str) -> dict[str, Any]:
    """What `service show` prints: the keys of a local service, and of a cluster's where both can be said."""
    clustered = spec.deployment.compute_type == "aks"
    root = _root(spec, state)
    bare = f"{root}/" if root and clustered else root
    return {
        "name": spec.name,
        "state": state.state.cluster_word if clustered else state.state.value,
        "error": state.error,
        "scoringUri": bare if spec.script is None else root and f"{root}/score",
        "swaggerUri": None if spec.script is None else root and f"{root}/swagger.json",
        "serverUrl": state.server_url,
        "port": spec.port or None,
        "mode": spec.mode.value,
        "computeType": spec.deployment.compute_type.upper(),
        "computeTarget": spec.deployment.compute_target_name,
        "models": list(spec.models),
        "authEnabled": spec.deployment.keyed,
        "description": spec.description,
        "tags": dict(spec.tags),
        "properties": dict(spec.properties),
        "createdTime": spec.created_time,
        "updatedTime": spec.updated_time,
        "workspaceName": workspace,
        "generation": state.generation,
        "scoringTimeoutMs": spec.deployment.scoring_timeout_ms,
        "maxConcurrentRequestsPerContainer": spec.deployment.replica_max_concurrent_requests,
    }


def uri_of_script(name: str, mode: Mode, scoring_uri: str | None) -> str:
    """Where the input of a service's entry script is posted. Raises Unavailable: a cluster has not given it an address
    yet. Raises Unsupported: it has no entry script."""
    if scoring_uri is None:
        raise Unavailable(f"service {name} has no address yet: its cluster has not given it one")
    if mode is Mode.DIRECT:
        root = scoring_uri.rstrip("/")
        raise Unsupported(
            f"service {name} has no entry script that takes plain input: it answers below {root}/v2/, "
            f"requests for inference at {root}/v2/models/MODEL/infer"
        )
    return scoring_uri


def _root(spec: ServiceSpec, state: ServiceState) -> str | None:
    """The service's address without a slash at its end; None while a cluster has not given it one, or nobody knows."""
    if spec.deployment.compute_target_name is not None or state.state is State.DAMAGED:
        return state.address
    return f"http://localhost:{spec.port}{spec.base_path if spec.deployment.compute_type == 'aks' else ''}"
