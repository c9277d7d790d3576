"""Objects as the API gives them, cut down to what is looked at."""

from typing import Any

import pytest

from despina.deploy.kubernetes.state import Word, state_of

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

TABLE: dict[str, tuple[dict[str, Any], list[dict[str, Any]], Word, str | None]] = {
    "nothing seen yet": ({**deployment(), "status": {}}, [], Word.TRANSITIONING, None),
    "rolled out": (deployment(COMPLETE, availableReplicas=2), [], Word.HEALTHY, None),
    "rolled out, autoscaler adds one": (deployment(COMPLETE, availableReplicas=1), [UNPLACED], Word.HEALTHY, None),
    "rolled out, then all gone": (deployment(COMPLETE), [pod()], Word.TRANSITIONING, None),
    "scaled to none": (
        {**deployment(COMPLETE), "spec": {**deployment()["spec"], "replicas": 0}},
        [],
        Word.HEALTHY,
        None,
    ),
    "the one before still counts": (
        deployment(COMPLETE, availableReplicas=2, observedGeneration=1),
        [],
        Word.TRANSITIONING,
        None,
    ),
    "an old pod is left": (deployment(COMPLETE, availableReplicas=3, replicas=3), [], Word.TRANSITIONING, None),
    "under way": (deployment(UNDER_WAY, updatedReplicas=1), [pod()], Word.TRANSITIONING, None),
    "no node": (deployment(UNDER_WAY), [UNPLACED], Word.UNSCHEDULABLE, "FailedScheduling: no GPU is free"),
    "crash": (
        deployment(UNDER_WAY, availableReplicas=1),
        [waiting("gate", "CrashLoopBackOff", terminated={"exitCode": 1})],
        Word.FAILED,
        "container gate: CrashLoopBackOff, it ended with status 1",
    ),
    "crash of a sidecar": (
        deployment(UNDER_WAY),
        [waiting("score", "CrashLoopBackOff", "initContainerStatuses", terminated={"exitCode": 3})],
        Word.FAILED,
        "container score: CrashLoopBackOff, it ended with status 3",
    ),
    "no image": (
        deployment(UNDER_WAY),
        [waiting("fetch", "ImagePullBackOff", "initContainerStatuses")],
        Word.FAILED,
        "container fetch: ImagePullBackOff",
    ),
    "crash in an older generation": (
        deployment(UNDER_WAY),
        [{**waiting("gate", "CrashLoopBackOff"), "metadata": {"labels": {"despina/generation": "4"}}}],
        Word.TRANSITIONING,
        None,
    ),
    "no key": (
        deployment(UNDER_WAY),
        [waiting("gate", "CreateContainerConfigError")],
        Word.FAILED,
        "container gate: CreateContainerConfigError",
    ),
    "placed": (deployment(UNDER_WAY, {**REFUSED, "status": "False"}), [PLACED], Word.TRANSITIONING, None),
    "starting": (deployment(UNDER_WAY), [waiting("gate", "PodInitializing")], Word.TRANSITIONING, None),
    "too late": (deployment(LATE), [pod()], Word.FAILED, "ProgressDeadlineExceeded: has timed out"),
    "no pod allowed": (deployment(REFUSED), [], Word.FAILED, "FailedCreate: exceeded quota"),
}


@pytest.mark.parametrize(("found", "pods", "word", "reason"), TABLE.values(), ids=TABLE)
def test_state(found: dict[str, Any], pods: list[dict[str, Any]], word: Word, reason: str | None) -> None:
    state = state_of(found, pods)
    assert (state.word, state.reason) == (word, reason)


def test_deleting() -> None:
    found = deployment(COMPLETE, availableReplicas=2)
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert state_of(found, []).word is Word.DELETING


def test_the_container_to_read_the_log_of_is_named() -> None:
    state = state_of(deployment(UNDER_WAY, readyReplicas=1), [waiting("score", "CrashLoopBackOff")])
    assert (state.container, state.ready, state.replicas) == ("score", 1, 2)
