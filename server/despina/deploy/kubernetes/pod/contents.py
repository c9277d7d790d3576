"""What a pod is told: the service and its models, as JSON in a ConfigMap."""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from despina.deploy.record import ModelDescription, ModelRecord, StoredFile
from despina.deploy.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class PodContents:
    """`models_url` is the address below which the blobs lie; None when they lie in a mounted volume."""

    spec: ServiceSpec
    records: tuple[ModelRecord, ...]
    models_url: str | None = None

    def to_text(self) -> str:
        """Keys are not in it, as in every file of a service: they are the Secret's."""
        document = {
            "service": self.spec.to_json(),
            "models": [_record_to_json(record) for record in self.records],
            "modelsUrl": self.models_url,
        }
        return json.dumps(document, indent=1)

    @classmethod
    def from_text(cls, text: str | bytes) -> "PodContents":
        document = json.loads(text)
        records = tuple(_record_from_json(one) for one in document["models"])
        return cls(ServiceSpec.from_json(document["service"]), records, document["modelsUrl"])


def _record_to_json(record: ModelRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "version": record.version,
        "framework": record.description.framework,
        "createdTime": record.created_time,
        "createdBy": record.created_by,
        "files": [list(astuple(file)) for file in record.files],
    }


def _record_from_json(document: Mapping[str, Any]) -> ModelRecord:
    return ModelRecord(
        ModelDescription(document["name"], document["framework"]),
        document["version"],
        document["createdTime"],
        document["createdBy"],
        tuple(StoredFile(*file) for file in document["files"]),
    )
