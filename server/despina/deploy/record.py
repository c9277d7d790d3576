"""A registered model as the registry knows it, and as users see it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from despina.deploy.reference import ModelReference

_IN_REPOSITORY = re.compile("(?:^|/)triton/[^/]+/[0-9]+/")

FRAMEWORKS = ("Custom", "TensorFlow", "ScikitLearn", "Onnx", "TfKeras", "PyTorch", "Multi")
"""`Multi` says that the model is a model repository."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one replica of a service of this model asks for by default; None where nothing was said."""

    cpu_cores: float | None = None
    memory_gb: float | None = None
    gpu_cores: int | None = None

    def to_json(self) -> dict[str, float | int | None] | None:
        if self == Resources():
            return None
        return {"cpu": self.cpu_cores, "memoryInGB": self.memory_gb, "gpu": self.gpu_cores}


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What the user says about a model when registering it."""

    name: str
    framework: str = "Custom"
    framework_version: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`path` begins with the top folder or file name; `sha256` is None for an empty folder."""

    path: str
    sha256: str | None
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One registered version. Times are ISO 8601 in UTC."""

    description: ModelDescription
    version: int
    created_time: str
    created_by: str
    files: tuple[StoredFile, ...]

    @property
    def name(self) -> str:
        return self.description.name

    @property
    def reference(self) -> ModelReference:
        return ModelReference(self.name, self.version)

    @property
    def id(self) -> str:
        return str(self.reference)

    @property
    def top(self) -> str:
        """The folder or file that was registered, by its name."""
        return self.files[0].path.partition("/")[0]

    @property
    def is_folder(self) -> bool:
        return self.files[0].path != self.top

    @property
    def holds_repository(self) -> bool:
        """Whether a version of a model lies in a folder `triton`."""
        return any(_IN_REPOSITORY.search(file.path) for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """The keys that `Model.serialize()` of the original SDK gives, and `size` in bytes."""
        said = self.description
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "framework": said.framework,
            "frameworkVersion": said.framework_version,
            "description": said.description,
            "tags": dict(said.tags),
            "properties": dict(said.properties),
            "createdTime": self.created_time,
            "createdBy": self.created_by,
            "mimeType": "application/x-octet-stream",
            "unpack": self.is_folder,
            "url": f"registry://{self.name}/{self.version}/{self.top}",
            "resourceConfiguration": said.resources.to_json(),
            "size": self.size,
        }
