"""The containers of a pod, all of the same image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from despina.deploy.kubernetes.pod.places import (
    APP_ROOT,
    CLAIM_FOLDER,
    CONFIG_FOLDER,
    GATE_PORT,
    KEYS_FOLDER,
    LOOPBACK,
    METRICS_PORT,
    PROBE_PORT,
    SCORE_PORT,
    SERVER_PORT,
    WORK_FOLDER,
)
from despina.deploy.kubernetes.probes import gate_probes, score_probes, server_probes
from despina.deploy.kubernetes.resources import FETCH, GATE, GPU, score_resources, server_resources
from despina.deploy.kubernetes.workload import Document, Workload
from despina.deploy.prepare import REPOSITORY
from despina.deploy.service import Mode
from despina.deploy.supervisor.commands import script_variables

RESTRICTED: Document = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
READ_ONLY: Document = {**RESTRICTED, "readOnlyRootFilesystem": True}

VISIBLE_GPUS = "NVIDIA_VISIBLE_DEVICES"
"""Images for GPUs say `all`. The device plugin says otherwise where a container asks for some; one that asks for none
would have those of all other pods."""


def fetch_container(load: Workload) -> Document:
    """Fills the work folder."""
    mounts = [_mount("work", WORK_FOLDER), _mount("config", CONFIG_FOLDER, read_only=True), _mount("tmp", Path("/tmp"))]
    if load.target.model_claim is not None:
        mounts.append(_mount("models", CLAIM_FOLDER, read_only=True))
    return _container(
        load,
        "fetch",
        ["python", "-m", "despina.deploy.kubernetes.pod.fetch"],
        resources=FETCH,
        securityContext=READ_ONLY,
        volumeMounts=mounts,
    )


def sidecars(load: Workload) -> list[Document]:
    """What the mode puts behind the gate, in the order of starting."""
    found = []
    if load.spec.mode is not Mode.DEFAULT:
        found.append(_server(load))
    if load.spec.mode is not Mode.DIRECT:
        found.append(_score(load))
    return [{**one, "restartPolicy": "Always"} for one in found]


def gate_container(load: Workload) -> Document:
    mounts = [_mount("config", CONFIG_FOLDER, read_only=True), _mount("tmp", Path("/tmp"))]
    if load.keys is not None:
        mounts.append(_mount("keys", KEYS_FOLDER, read_only=True))
    return _container(
        load,
        "gate",
        ["python", "-m", "despina.deploy.kubernetes.pod.gate"],
        ports=[_port("http", GATE_PORT), _port("probes", PROBE_PORT)],
        resources=GATE,
        securityContext=READ_ONLY,
        volumeMounts=mounts,
        **gate_probes(load.spec.deployment),
    )


def _server(load: Workload) -> Document:
    words = ["despina", "serve", f"--model-repository={APP_ROOT / REPOSITORY}"]
    words += [f"--http-address={LOOPBACK}", f"--http-port={SERVER_PORT}", "--allow-grpc=false"]
    words += ["--metrics-address=0.0.0.0", f"--metrics-port={METRICS_PORT}"]
    return _container(
        load,
        "server",
        words,
        ports=[_port("metrics", METRICS_PORT)],
        resources=server_resources(load.spec),
        securityContext=RESTRICTED,
        volumeMounts=[_mount("work", WORK_FOLDER), _mount("tmp", Path("/tmp"))],
        **server_probes(load.spec.deployment),
    )


def _score(load: Workload) -> Document:
    server_port = SERVER_PORT if load.spec.mode is Mode.MIDDLEWARE else None
    return _container(
        load,
        "score",
        ["python", "-m", "despina.deploy.score", f"{LOOPBACK}:{SCORE_PORT}"],
        environment={"PYTHONUNBUFFERED": "1", **script_variables(load.spec, APP_ROOT, server_port)},
        workingDir=str(APP_ROOT),
        resources=score_resources(load.spec),
        securityContext=RESTRICTED,
        volumeMounts=[_mount("work", WORK_FOLDER), _mount("tmp", Path("/tmp"))],
        **score_probes(load.spec.deployment),
    )


def _literal(value: str) -> str:
    """Kubernetes puts the value of another variable for `$(NAME)`, and one `$` for two."""
    return value.replace("$", "$$")


def _container(
    load: Workload,
    name: str,
    words: Sequence[str],
    *,
    resources: Document,
    environment: Mapping[str, str] | None = None,
    **more: object,
) -> Document:
    hidden = {} if GPU in resources.get("limits", {}) else {VISIBLE_GPUS: "void"}
    variables = {**hidden, **(environment or {})}
    return {
        "name": name,
        "image": load.target.image,
        "command": list(words),
        "env": [{"name": one, "value": _literal(value)} for one, value in variables.items()],
        "resources": resources,
        **more,
    }


def _mount(name: str, path: Path, *, read_only: bool = False) -> Document:
    return {"name": name, "mountPath": str(path), **({"readOnly": True} if read_only else {})}


def _port(name: str, number: int) -> Document:
    return {"name": name, "containerPort": number}
