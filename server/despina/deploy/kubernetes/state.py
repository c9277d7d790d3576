"""From what Kubernetes says about a service to its state.

rolled out, and a replica is available          running
FailedScheduling                                unschedulable    not final: a node may come
a container that cannot start or does not stay  failed
ProgressDeadlineExceeded                        failed
everything else                                 deploying
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from despina.deploy.kubernetes.workload import GENERATION_LABEL
from despina.deploy.service import State

Object = Mapping[str, Any]

HOPELESS = frozenset(
    {"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"}
    | {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)


@dataclass(frozen=True, slots=True)
class ClusterState:
    """`reason` for people; `container` is the one to read the log of."""

    state: State
    reason: str | None = None
    container: str | None = None
    ready: int = 0
    replicas: int = 0


def state_of(deployment: Object, pods: Iterable[Object]) -> ClusterState:
    """`deployment` and `pods` as the API gives them; pods of older generations are left out here."""
    status = deployment.get("status", {})
    replicas = deployment["spec"].get("replicas", 1)
    state, reason, container = _judge(deployment, status, replicas, list(_newest(deployment, pods)))
    return ClusterState(state, reason, container, status.get("readyReplicas", 0), replicas)


def _judge(
    deployment: Object, status: Object, replicas: int, pods: list[Object]
) -> tuple[State, str | None, str | None]:
    if "deletionTimestamp" in deployment["metadata"]:
        return State.DELETED, None, None
    # Somebody may have scaled it to none on purpose.
    if _rolled_out(deployment, status) and status.get("availableReplicas", 0) >= min(1, replicas):
        return State.RUNNING, None, None
    for pod in pods:
        for name, reason in _hopeless(pod):
            return State.FAILED, reason, name
    for condition in status.get("conditions", ()):
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return State.FAILED, f"ProgressDeadlineExceeded: {condition.get('message', '')}", None
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return State.FAILED, f"{condition.get('reason')}: {condition.get('message', '')}", None
    for pod in pods:
        if message := _unschedulable(pod):
            return State.UNSCHEDULABLE, f"FailedScheduling: {message}", None
    return State.DEPLOYING, None, None


def _rolled_out(deployment: Object, status: Object) -> bool:
    """Kubernetes remembers a complete rollout, also while an autoscaler adds replicas that are not ready yet."""
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    alone = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    complete = any(one.get("reason") == "NewReplicaSetAvailable" for one in status.get("conditions", ()))
    return bool(seen and alone and complete)


def _newest(deployment: Object, pods: Iterable[Object]) -> Iterator[Object]:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    wanted = labels.get(GENERATION_LABEL)
    for pod in pods:
        if pod["metadata"].get("labels", {}).get(GENERATION_LABEL) == wanted:
            yield pod


def _hopeless(pod: Object) -> Iterator[tuple[str, str]]:
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in HOPELESS:
            ended = container.get("lastState", {}).get("terminated", {})
            how = f", it ended with status {ended['exitCode']}" if "exitCode" in ended else ""
            message = f": {waiting['message']}" if waiting.get("message") else ""
            yield container["name"], f"container {container['name']}: {waiting['reason']}{how}{message}"


def _unschedulable(pod: Object) -> str | None:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason"))
    return None
