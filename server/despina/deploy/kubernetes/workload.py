"""What is deployed to a cluster: the input of every manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from despina.deploy.gate.keys import Keys
from despina.deploy.kubernetes.pod.contents import PodContents
from despina.deploy.kubernetes.target import ComputeTarget, ScalingMetric
from despina.deploy.record import ModelRecord
from despina.deploy.service import ServiceSpec

Document = dict[str, Any]

COMPONENT = "despina"
INSTANCE_LABEL = "app.kubernetes.io/instance"
MANAGED_LABEL = "app.kubernetes.io/managed-by"
GENERATION_LABEL = "despina/generation"


@dataclass(frozen=True, slots=True)
class Workload:
    """One generation of a service, for one target.

    `source` is a packed source directory (`pod.source`), `metric` what the autoscaler looks at: AUTO is decided before.
    """

    spec: ServiceSpec
    records: Sequence[ModelRecord]
    target: ComputeTarget
    keys: Keys | None = None
    source: bytes | None = None
    metric: ScalingMetric = ScalingMetric.CPU

    def __post_init__(self) -> None:
        assert (self.keys is not None) == self.spec.deployment.keyed
        assert (self.source is not None) == (self.spec.script is not None)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def namespace(self) -> str:
        return self.spec.deployment.namespace or self.target.namespace

    @property
    def config_name(self) -> str:
        """Each generation has its own, so that pods of the one before can still be started, and a rollback works."""
        return f"{self.name}-{self.spec.generation}"

    @property
    def contents(self) -> PodContents:
        return PodContents(self.spec, tuple(self.records), self.target.model_url)

    @property
    def selector(self) -> dict[str, str]:
        return selector_of(self.name)

    @property
    def labels(self) -> dict[str, str]:
        return labels_of(self.name)

    def metadata(self, name: str | None = None, **more: Any) -> Document:
        return {"name": name or self.name, "namespace": self.namespace, "labels": self.labels, **more}


def selector_of(name: str) -> dict[str, str]:
    """What the pods of a service have in common, for all its generations."""
    return {"app.kubernetes.io/name": COMPONENT, INSTANCE_LABEL: name}


def labels_of(name: str) -> dict[str, str]:
    """What is on everything that belongs to a service."""
    return {**selector_of(name), MANAGED_LABEL: COMPONENT}


def keys_name(name: str) -> str:
    return f"{name}-keys"
