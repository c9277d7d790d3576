"""Services for the tests of Kubernetes manifests."""

from pathlib import Path
from typing import Any

from despina.deploy.deployment_config import parse_deployment_config
from despina.deploy.gate.keys import Keys
from despina.deploy.kubernetes.pod.source import pack_source
from despina.deploy.kubernetes.target import ComputeTarget
from despina.deploy.kubernetes.workload import Workload
from despina.deploy.record import ModelDescription, ModelRecord, StoredFile
from despina.deploy.service import Mode, ScriptSpec, ServiceSpec

TARGET = ComputeTarget("cluster", "registry.example/despina:0.1.0", "ml", model_claim="models")
KEYS = Keys("first-key", "second-key")

RECORD = ModelRecord(
    ModelDescription("digits", "Multi"),
    3,
    "2026-01-01T00:00:00+00:00",
    "tester",
    (StoredFile("triton/digits/1/model.onnx", "ab" * 32, 10, False), StoredFile("triton/digits/empty", None, 0, False)),
)


def workload(
    mode: Mode = Mode.DIRECT,
    target: ComputeTarget = TARGET,
    generation: int = 2,
    variables: dict[str, str] | None = None,
    source: Path | None = None,
    **config: Any,
) -> Workload:
    """A service with keys; `config` are the fields of a deployment configuration."""
    deployment = parse_deployment_config({"computeType": "aks", **config}).config
    scripted = mode is not Mode.DIRECT
    script = ScriptSpec("score.py", variables or {}) if scripted else None
    spec = ServiceSpec("triton-webservice", generation, mode, ("digits:3",), deployment, script, description="Reads.")
    packed = pack_source(source or Path(__file__).parent) if scripted else None
    return Workload(spec, (RECORD,), target, KEYS if deployment.keyed else None, packed)
