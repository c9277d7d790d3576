"""Services of one home directory: what `despina model deploy`, `despina service` and the SDK do."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import missing_packages
from despina.deploy.folder import ServiceFolder
from despina.deploy.gate.keys import Keys, make_keys, regenerate
from despina.deploy.home import Home
from despina.deploy.prepare import prepare_generation
from despina.deploy.record import ModelRecord
from despina.deploy.reference import ModelReference, parse_reference
from despina.deploy.registry import Registry
from despina.deploy.running import current_state, start_or_tell, stop, wait_until_settled
from despina.deploy.service import ScriptSpec, ServiceSpec, ServiceState, check_service_name, choose_mode
from despina.deploy.supervisor.commands import free_port
from despina.deploy.supervisor.control import ask
from despina.errors import AlreadyExists, InvalidArgument, NotFound, Unsupported


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """`models` as users write them, `NAME` or `NAME:VERSION`."""

    name: str
    models: Sequence[str]
    deployment: DeploymentConfig = field(default_factory=DeploymentConfig)
    inference: InferenceSpec | None = None
    overwrite: bool = False
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


class Services:
    """Any number of processes may use it at once; one at a time changes a service."""

    def __init__(
        self, home: Home, registry: Registry, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._home = home
        self._registry = registry
        self._clock = clock

    def deploy(self, request: DeployRequest, progress: Callable[[str], None] = lambda line: None) -> ServiceSpec:
        """Prepares a generation and has it started; returns before it answers, see `wait`.

        Raises:
            InvalidArgument: the request cannot be met.
            NotFound: a model does not exist.
            AlreadyExists: the name is taken and `overwrite` is false, or an operation is under way.
        """
        check_service_name(request.name)
        if request.deployment.compute_target_name is not None:
            target = request.deployment.compute_target_name
            raise NotFound(f"compute target {target} is not attached; leave it out to run on this machine")
        records = [self._registry.get(parse_reference(model)) for model in request.models]
        folder = self._folder(request.name)
        if folder.exists and not request.overwrite:
            raise AlreadyExists(f"service {request.name} exists already; say --overwrite to replace it")
        with folder.operation():
            spec = self._new_spec(request, records, folder)
            root = folder.generation(spec.generation)
            for warning in prepare_generation(root, self._registry.blobs, records, request.inference):
                progress(f"warning: {warning}")
            self._tell_packages(request, progress)
            self._write_keys(folder, spec.deployment)
            folder.write_spec(spec)
            progress(f"deploying service {spec.name}, {spec.mode} mode, of {', '.join(spec.models) or 'no model'}")
            start_or_tell(folder)
        return spec

    def wait(self, name: str) -> ServiceState:
        """Returns when the service runs or has failed."""
        folder = self._existing(name)
        state = wait_until_settled(folder)
        self._forget_old_generations(folder, state)
        return state

    def get(self, name: str) -> tuple[ServiceSpec, ServiceState]:
        """
        Raises:
            NotFound: there is no such service; the message names what there is.
        """
        folder = self._existing(name)
        return folder.read_spec(), current_state(folder)

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self._home.services.glob("*/spec.json"))

    def using(self, reference: ModelReference) -> list[str]:
        """The services that were deployed with this version."""
        return [name for name in self.names() if str(reference) in self._folder(name).read_spec().models]

    def keys(self, name: str) -> Keys:
        """
        Raises:
            Unsupported: the service has none.
        """
        folder = self._existing(name)
        keys = folder.read_keys()
        if keys is None or not folder.read_spec().deployment.keyed:
            raise Unsupported(f"service {name} has no keys: it was deployed without authEnabled")
        return keys

    def regenerate_key(self, name: str, which: str, value: str | None = None) -> Keys:
        """Replaces one key; requests see it at once, connections stay."""
        folder = self._existing(name)
        with folder.operation():
            keys = regenerate(self.keys(name), which, value)
            folder.write_keys(keys)
            ask(folder.path, {"command": "keys"}, timeout=5)
        return keys

    def log(self, name: str, lines: int) -> list[str]:
        return self._existing(name).tail(lines)

    def restart(self, name: str) -> None:
        """Starts the processes again, on the files that are there."""
        folder = self._existing(name)
        with folder.operation():
            start_or_tell(folder)

    def label(
        self,
        name: str,
        *,
        description: str | None = None,
        add_tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        add_properties: Mapping[str, str] | None = None,
    ) -> ServiceSpec:
        """Changes what is only said about a service; nothing is started again.

        Raises:
            InvalidArgument: a property that is set already.
        """
        folder = self._existing(name)
        with folder.operation():
            spec = folder.read_spec()
            if repeated := sorted(spec.properties.keys() & (add_properties or {}).keys()):
                raise InvalidArgument(f"service {name}: property {', '.join(repeated)} is set already and is immutable")
            tags = {key: value for key, value in {**spec.tags, **(add_tags or {})}.items() if key not in remove_tags}
            changed = replace(
                spec,
                description=spec.description if description is None else description,
                tags=tags,
                properties={**spec.properties, **(add_properties or {})},
                updated_time=self._now(),
            )
            folder.write_spec(changed)
        return changed

    def delete(self, name: str) -> None:
        """Ends everything and removes the folder; returns when ports and disk are free."""
        folder = self._existing(name)
        with folder.operation():
            stop(folder)
            shutil.rmtree(folder.path)

    def _folder(self, name: str) -> ServiceFolder:
        return ServiceFolder(self._home.services / name)

    def _existing(self, name: str) -> ServiceFolder:
        check_service_name(name)
        folder = self._folder(name)
        if not folder.exists:
            raise NotFound(f"No service with name {name} found; have {', '.join(self.names()) or 'none'}")
        return folder

    def _new_spec(self, request: DeployRequest, records: Sequence[ModelRecord], folder: ServiceFolder) -> ServiceSpec:
        before = folder.read_spec() if folder.exists else None
        frameworks = [record.description.framework for record in records]
        inference = request.inference
        return ServiceSpec(
            name=request.name,
            generation=1 if before is None else before.generation + 1,
            mode=choose_mode(frameworks, scripted=inference is not None),
            models=tuple(record.id for record in records),
            deployment=request.deployment,
            script=None if inference is None else _script(inference),
            port=self._port(request.deployment, before),
            description=request.description,
            tags=dict(request.tags),
            properties=dict(request.properties),
            created_time=self._now() if before is None else before.created_time,
            updated_time=self._now(),
        )

    def _port(self, deployment: DeploymentConfig, before: ServiceSpec | None) -> int:
        if deployment.port is None:
            return free_port() if before is None else before.port
        if (before is None or before.port != deployment.port) and free_port(deployment.port) != deployment.port:
            raise InvalidArgument(f"port {deployment.port} is taken by another process; choose another one")
        return deployment.port

    def _write_keys(self, folder: ServiceFolder, deployment: DeploymentConfig) -> None:
        if not deployment.keyed:
            return
        have = folder.read_keys()
        primary = deployment.primary_key or (have.primary if have else None)
        secondary = deployment.secondary_key or (have.secondary if have else None)
        folder.write_keys(make_keys(primary, secondary))

    def _tell_packages(self, request: DeployRequest, progress: Callable[[str], None]) -> None:
        environment = None if request.inference is None else request.inference.environment
        missing = [] if environment is None else missing_packages(environment.packages)
        if environment is not None and missing:
            progress(
                f"warning: environment {environment.name} names packages that are not installed here: "
                f"{', '.join(missing)}; pip install {' '.join(missing)}"
            )

    def _forget_old_generations(self, folder: ServiceFolder, state: ServiceState) -> None:
        newest = folder.read_spec().generation
        for path in (folder.path / "generations").glob("*"):
            # The one before may still have requests in flight.
            if path.name.isdigit() and int(path.name) not in (state.generation, newest, newest - 1):
                shutil.rmtree(path, ignore_errors=True)

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")


def _script(inference: InferenceSpec) -> ScriptSpec:
    environment = inference.environment
    return ScriptSpec(
        inference.entry_script,
        {} if environment is None else dict(environment.variables),
        None if environment is None else environment.name,
    )


def describe(spec: ServiceSpec, state: ServiceState, workspace: str) -> dict[str, Any]:
    """What `service show` prints: the keys of a local service, and of a cluster's where both can be said."""
    root = f"http://localhost:{spec.port}"
    if spec.deployment.compute_type == "aks":
        root += spec.base_path
    bare = f"{root}/" if spec.deployment.compute_type == "aks" else root
    return {
        "name": spec.name,
        "state": state.state.cluster_word if spec.deployment.compute_type == "aks" else state.state.value,
        "error": state.error,
        "scoringUri": bare if spec.script is None else f"{root}/score",
        "swaggerUri": None if spec.script is None else f"{root}/swagger.json",
        "serverUrl": state.server_url,
        "port": spec.port,
        "mode": spec.mode.value,
        "computeType": spec.deployment.compute_type.upper(),
        "models": list(spec.models),
        "authEnabled": spec.deployment.keyed,
        "description": spec.description,
        "tags": dict(spec.tags),
        "properties": dict(spec.properties),
        "createdTime": spec.created_time,
        "updatedTime": spec.updated_time,
        "workspaceName": workspace,
        "generation": state.generation,
        "scoringTimeoutMs": spec.deployment.scoring_timeout_ms,
        "maxConcurrentRequestsPerContainer": spec.deployment.replica_max_concurrent_requests,
    }
