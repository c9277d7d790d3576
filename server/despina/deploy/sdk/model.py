"""Registered models, and deploying them."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.materialise import copy_model
from despina.deploy.record import ModelDescription, ModelRecord, Resources
from despina.deploy.reference import ModelReference, parse_reference
from despina.deploy.registration import parse_model_path, register_checked
from despina.deploy.registry import Filter
from despina.deploy.score.model_path import get_model_path
from despina.deploy.sdk.errors import UserErrorException, WebserviceException, translated
from despina.deploy.sdk.inference_config import InferenceConfig
from despina.deploy.sdk.workspace import Workspace

if TYPE_CHECKING:
    from despina.deploy.sdk.webservice import Webservice

Filters = Sequence[str | Sequence[str]]


@dataclass(frozen=True)
class ResourceConfiguration:
    """What a replica of a service of this model asks for by default."""

    cpu: float | None = None
    memory_in_gb: float | None = None
    gpu: int | None = None


class Model:
    """One version of a registered model."""

    class Framework:
        """What a model is made of. MULTI says: a model repository."""

        CUSTOM = "Custom"
        TENSORFLOW = "TensorFlow"
        SCIKITLEARN = "ScikitLearn"
        ONNX = "Onnx"
        TFKERAS = "TfKeras"
        PYTORCH = "PyTorch"
        MULTI = "Multi"

    def __init__(
        self,
        workspace: Workspace,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  the SDK's name
        tags: Filters | None = None,
        properties: Filters | None = None,
        version: int | None = None,
        run_id: str | None = None,
        model_framework: str | None = None,
        expand: bool = True,
    ) -> None:
        """Looks a model up; the newest version unless one is named. `run_id` and `expand` mean something in a cloud
        only. Raises WebserviceException: there is none; the message begins with ModelNotFound."""
        if (name is None) == (id is None):
            raise UserErrorException("give either name (and version) or id")
        with translated():
            reference = parse_reference(id) if id else ModelReference(name or "", version)
            record = workspace.registry.get(reference)
        fitting = {one.id for one in _find(workspace, record.name, tags, properties, model_framework)}
        if record.id not in fitting:
            raise WebserviceException(f"ModelNotFound: model {record.id} has other tags, properties or framework")
        self._bind(workspace, record)

    @classmethod
    def register(
        cls,
        workspace: Workspace,
        model_path: str,
        model_name: str,
        tags: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
        description: str | None = None,
        datasets: Any = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        child_paths: Sequence[str] | None = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> Model:
        """Stores a folder or file as the next version of `model_name`. Data sets mean something in a cloud only."""
        if model_framework_version is not None and model_framework is None:
            raise UserErrorException("model_framework_version needs model_framework")
        asked = resource_configuration or ResourceConfiguration()
        said = ModelDescription(
            name=model_name,
            framework=model_framework or "Custom",
            framework_version=model_framework_version,
            description=description or "",
            tags={key: str(value) for key, value in (tags or {}).items()},
            properties={key: str(value) for key, value in (properties or {}).items()},
            resources=Resources(asked.cpu, asked.memory_in_gb, asked.gpu),
        )
        print_line(f"Registering model {model_name}")
        with translated():
            path = parse_model_path(model_path)
            record = register_checked(workspace.registry, said, path, tuple(child_paths or ()), progress=_print_finding)
        return cls._of(workspace, record)

    @staticmethod
    def list(
        workspace: Workspace,
        name: str | None = None,
        tags: Filters | None = None,
        properties: Filters | None = None,
        run_id: str | None = None,
        latest: bool = False,
        dataset_id: str | None = None,
        expand: bool = True,
        page_count: int = 255,
        model_framework: str | None = None,
    ) -> builtins.list[Model]:
        """Registered models, by name, newest version first. A filter is a key, or a pair of key and value. `run_id`,
        `dataset_id`, `expand` and `page_count` mean something in a cloud only."""
        return [Model._of(workspace, one) for one in _find(workspace, name, tags, properties, model_framework, latest)]

    @staticmethod
    def deploy(
        workspace: Workspace,
        name: str,
        models: Sequence[Model | str],
        inference_config: InferenceConfig | None = None,
        deployment_config: DeploymentConfig | None = None,
        deployment_target: Any = None,
        overwrite: bool = False,
        show_output: bool = False,
    ) -> Webservice:
        """Starts a service of these models (objects or ids) and returns at once; see `wait_for_deployment`. Raises
        UserErrorException: the arguments do not fit together. Raises WebserviceException: the name is taken and
        `overwrite` is false, or a model does not exist."""
        from despina.deploy.sdk.webservice import Webservice  # late: it imports this module

        config = deployment_config or DeploymentConfig()
        if deployment_target is not None:
            config = replace(config, compute_target_name=str(getattr(deployment_target, "name", deployment_target)))
        inference = None if inference_config is None else inference_config.spec()
        said = "" if inference_config is None else inference_config.description or ""
        for warning in () if inference is None else inference.warnings:
            print_line(f"warning: {warning}")
        with translated():
            request = DeployRequest(name, model_ids(models), config, inference, overwrite=overwrite, description=said)
            workspace.services.deploy(request, print_line)
        service = Webservice(workspace, name)
        if show_output:
            service.wait_for_deployment(show_output=True)
        return service

    get_model_path = staticmethod(get_model_path)

    def download(self, target_dir: str = ".", exist_ok: bool = False) -> str:
        """Copies the files into a folder; returns the path of the registered folder or file there."""
        with translated():
            return str(copy_model(self.workspace.registry.blobs, self._record, Path(target_dir), overwrite=exist_ok))

    def update(self, tags: dict[str, str] | None = None, description: str | None = None) -> None:
        """Replaces the tags, the description, or both."""
        gone = [] if tags is None else [key for key in self.tags if key not in tags]
        self._update(description=description, add_tags=tags or {}, remove_tags=gone)

    def add_tags(self, tags: dict[str, str]) -> None:
        self._update(add_tags=tags)

    def remove_tags(self, tags: Sequence[str]) -> None:
        self._update(remove_tags=tags)

    def add_properties(self, properties: dict[str, str]) -> None:
        """Adds properties; one that is set already cannot be changed."""
        self._update(add_properties=properties)

    def delete(self) -> None:
        """Deletes this version; its number is not used again. Raises UserErrorException: a service was deployed with
        it."""
        with translated():
            self.workspace.services.delete_model(self._record.reference)

    def serialize(self) -> dict[str, Any]:
        return self._record.to_json()

    def _update(self, **changes: Any) -> None:
        with translated():
            self._bind(self.workspace, self.workspace.registry.update(self._record.reference, **changes))

    @classmethod
    def _of(cls, workspace: Workspace, record: ModelRecord) -> Model:
        model = cls.__new__(cls)
        model._bind(workspace, record)
        return model

    def _bind(self, workspace: Workspace, record: ModelRecord) -> None:
        said = record.description
        self.workspace = workspace
        self._record = record
        self.name, self.version, self.id = record.name, record.version, record.id
        self.description = said.description
        self.tags, self.properties = dict(said.tags), dict(said.properties)
        self.model_framework, self.model_framework_version = said.framework, said.framework_version
        self.created_time, self.created_by = record.created_time, record.created_by

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, version={self.version})"


def model_ids(models: Sequence[Model | str]) -> list[str]:
    return [model.id if isinstance(model, Model) else model for model in models]


def print_line(line: str) -> None:
    """What a notebook shows while it waits."""
    sys.stdout.write(f"{line}\n")


def _print_finding(line: str) -> None:
    if not line.startswith("storing "):
        print_line(line)


def _find(
    workspace: Workspace,
    name: str | None,
    tags: Filters | None,
    properties: Filters | None,
    framework: str | None,
    latest: bool = False,
) -> list[ModelRecord]:
    return workspace.registry.find(
        name, tags=_filters(tags), properties=_filters(properties), framework=framework, latest=latest
    )


def _filters(given: Filters | None) -> list[Filter]:
    pairs = [(one, None) if isinstance(one, str) else (one[0], one[1]) for one in given or ()]
    return [(str(key), None if value is None else str(value)) for key, value in pairs]
