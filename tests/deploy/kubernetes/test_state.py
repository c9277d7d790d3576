"""Objects as the API gives them, cut down to what is looked at."""

from typing import Any

import pytest

from despina.deploy.kubernetes.state import state_of
from despina.deploy.service import State

COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
UNDER_WAY = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "has timed out"}
REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}


def deployment(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"despina/generation": "5"}}}},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "conditions": conditions, **status},
    }


def pod(generation: str = "5", **status: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"despina/generation": generation}}, "status": status}


def waiting(name: str, reason: str, kind: str = "containerStatuses", **last: Any) -> dict[str, Any]:
    return pod(**{kind: [{"name": name, "state": {"waiting": {"reason": reason}}, "lastState": last}]})


UNPLACED = pod(
    conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU is free"}]
)

PLACED = pod(conditions=[{"type": "PodScheduled", "status": "True"}])

TABLE: dict[str, tuple[dict[str, Any], list[dict[str, Any]], State, str | None]] = {
    "nothing seen yet": ({**deployment(), "status": {}}, [], State.DEPLOYING, None),
    "rolled out": (deployment(COMPLETE, availableReplicas=2), [], State.RUNNING, None),
    "rolled out, autoscaler adds one": (deployment(COMPLETE, availableReplicas=1), [UNPLACED], State.RUNNING, None),
    "rolled out, then all gone": (deployment(COMPLETE), [pod()], State.DEPLOYING, None),
    "scaled to none": (
        {**deployment(COMPLETE), "spec": {**deployment()["spec"], "replicas": 0}},
        [],
        State.RUNNING,
        None,
    ),
    "the one before still counts": (
        deployment(COMPLETE, availableReplicas=2, observedGeneration=1),
        [],
        State.DEPLOYING,
        None,
    ),
    "an old pod is left": (deployment(COMPLETE, availableReplicas=3, replicas=3), [], State.DEPLOYING, None),
    "under way": (deployment(UNDER_WAY, updatedReplicas=1), [pod()], State.DEPLOYING, None),
    "no node": (deployment(UNDER_WAY), [UNPLACED], State.UNSCHEDULABLE, "FailedScheduling: no GPU is free"),
    "crash": (
        deployment(UNDER_WAY, availableReplicas=1),
        [waiting("gate", "CrashLoopBackOff", terminated={"exitCode": 1})],
        State.FAILED,
        "container gate: CrashLoopBackOff, it ended with status 1",
    ),
    "crash of a sidecar": (
        deployment(UNDER_WAY),
        [waiting("score", "CrashLoopBackOff", "initContainerStatuses", terminated={"exitCode": 3})],
        State.FAILED,
        "container score: CrashLoopBackOff, it ended with status 3",
    ),
    "no image": (
        deployment(UNDER_WAY),
        [waiting("fetch", "ImagePullBackOff", "initContainerStatuses")],
        State.FAILED,
        "container fetch: ImagePullBackOff",
    ),
    "crash in an older generation": (
        deployment(UNDER_WAY),
        [{**waiting("gate", "CrashLoopBackOff"), "metadata": {"labels": {"despina/generation": "4"}}}],
        State.DEPLOYING,
        None,
    ),
    "no key": (
        deployment(UNDER_WAY),
        [waiting("gate", "CreateContainerConfigError")],
        State.FAILED,
        "container gate: CreateContainerConfigError",
    ),
    "placed": (deployment(UNDER_WAY, {**REFUSED, "status": "False"}), [PLACED], State.DEPLOYING, None),
    "starting": (deployment(UNDER_WAY), [waiting("gate", "PodInitializing")], State.DEPLOYING, None),
    "too late": (deployment(LATE), [pod()], State.FAILED, "ProgressDeadlineExceeded: has timed out"),
    "no pod allowed": (deployment(REFUSED), [], State.FAILED, "FailedCreate: exceeded quota"),
}


@pytest.mark.parametrize(("found", "pods", "state", "reason"), TABLE.values(), ids=TABLE)
def test_state(found: dict[str, Any], pods: list[dict[str, Any]], state: State, reason: str | None) -> None:
    seen = state_of(found, pods)
    assert (seen.state, seen.reason) == (state, reason)


def test_deleting() -> None:
    found = deployment(COMPLETE, availableReplicas=2)
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert state_of(found, []).state is State.DELETED


def test_the_container_to_read_the_log_of_is_named() -> None:
    state = state_of(deployment(UNDER_WAY, readyReplicas=1), [waiting("score", "CrashLoopBackOff")])
    assert (state.container, state.ready, state.replicas) == ("score", 1, 2)
