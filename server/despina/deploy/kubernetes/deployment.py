"""The Deployment, and the PodDisruptionBudget that goes with it."""

from math import ceil

from despina.deploy.kubernetes.containers import fetch_container, gate_container, sidecars
from despina.deploy.kubernetes.pod.gate import UNLISTED_SECONDS, drain_seconds, gate_limits
from despina.deploy.kubernetes.pod.places import PROBE_PORT
from despina.deploy.kubernetes.probes import startup_seconds
from despina.deploy.kubernetes.resources import GPU
from despina.deploy.kubernetes.scaling import fixed_replicas
from despina.deploy.kubernetes.workload import GENERATION_LABEL, Document, Workload, keys_name
from despina.deploy.service import Mode

USER = 10001
"""The user of the images that the Dockerfiles make."""

SIDECARS_END_SECONDS = 35
"""The inference server's own exit timeout, and a little."""

FETCH_SECONDS = 300
"""What the models may take to arrive, for the deadline of a rollout."""

HISTORY = 3

GPU_TOLERATION: Document = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
"""Nodes with GPUs are often kept free of pods that need none."""


def deployment(load: Workload) -> Document:
    """Replaces pods one by one, each new one ready before an old one goes, so no request meets a closed door."""
    replicas = fixed_replicas(load.spec)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": load.metadata(annotations=_annotations(load)),
        "spec": {
            # Where an autoscaler decides, the number must not be ours: each apply would reset it.
            **({} if replicas is None else {"replicas": replicas}),
            "selector": {"matchLabels": load.selector},
            "revisionHistoryLimit": HISTORY,
            "progressDeadlineSeconds": _deadline(load),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {
                    "labels": {**load.labels, GENERATION_LABEL: str(load.spec.generation)},
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(PROBE_PORT),
                        "prometheus.io/path": "/metrics",
                    },
                },
                "spec": _pod(load),
            },
        },
    }


def disruption_budget(load: Workload) -> Document:
    """Nodes may be drained one pod at a time; a minimum instead would block the drain of a single replica for ever."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": load.metadata(),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": load.selector}},
    }


def _pod(load: Workload) -> Document:
    secrets = {} if load.target.pull_secret is None else {"imagePullSecrets": [{"name": load.target.pull_secret}]}
    gate_ends = ceil(UNLISTED_SECONDS + drain_seconds(gate_limits(load.spec)))
    return {
        "initContainers": [fetch_container(load), *sidecars(load)],
        "containers": [gate_container(load)],
        "volumes": _volumes(load),
        "terminationGracePeriodSeconds": gate_ends + SIDECARS_END_SECONDS,
        # Variables of neighbouring Services could be taken for settings.
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **secrets,
        **({"tolerations": [GPU_TOLERATION]} if load.spec.deployment.gpu_cores else {}),
    }


def _volumes(load: Workload) -> list[Document]:
    volumes: list[Document] = [
        {"name": "work", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "config", "configMap": {"name": load.config_name}},
    ]
    if load.keys is not None:
        volumes.append({"name": "keys", "secret": {"secretName": keys_name(load.name), "defaultMode": 0o440}})
    if load.target.model_claim is not None:
        claim = {"claimName": load.target.model_claim, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    return volumes


def _annotations(load: Workload) -> dict[str, str]:
    said = {"despina/mode": load.spec.mode.value, "despina/models": ",".join(load.spec.models)}
    return {**said, "despina/description": load.spec.description} if load.spec.description else said


def _deadline(load: Workload) -> int:
    parts = 2 if load.spec.mode is Mode.MIDDLEWARE else 1
    return FETCH_SECONDS + parts * startup_seconds(load.spec.deployment)
