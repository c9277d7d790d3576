"""Services of one home directory: what `despina model deploy`, `despina service` and the SDK do."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from despina.deploy.deploy_request import DeployRequest, in_its_place, make_spec
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.deployment_warnings import deployment_warnings
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import EnvironmentSpec
from despina.deploy.folder import ServiceFolder, remove_remains
from despina.deploy.gate.keys import Keys, make_keys, regenerate
from despina.deploy.home import FOLDER, Home
from despina.deploy.kubernetes.cluster import Cluster, deletion_command
from despina.deploy.kubernetes.render import rendered_before
from despina.deploy.kubernetes.target import ComputeTargets
from despina.deploy.label_change import LabelChange
from despina.deploy.places.in_cluster import InCluster, render
from despina.deploy.places.machine import Machine
from despina.deploy.places.move import check_move
from despina.deploy.places.place import NewGeneration, Place, Say, quiet
from despina.deploy.prepare import SOURCE
from despina.deploy.record import ModelRecord
from despina.deploy.reference import ModelReference, parse_reference
from despina.deploy.registry import Registry
from despina.deploy.service import ServiceSpec, ServiceState, State, check_service_name
from despina.errors import AlreadyExists, DespinaError, Internal, InvalidArgument, NotFound, Unsupported


class Services:
    """Any number of processes may use it at once; one at a time changes a service."""

    def __init__(self, home: Home, registry: Registry) -> None:
        self._home = home
        self._registry = registry

    def deploy(self, request: DeployRequest, progress: Say = quiet) -> ServiceSpec:
        """Prepares a generation and has it started; returns before it answers, see `wait`. Raises InvalidArgument: the
        request cannot be met. Raises NotFound: a model or the compute target does not exist. Raises AlreadyExists: the
        name is taken and `overwrite` is false, or an operation is under way."""
        remove_remains(self._home.services)
        request = self._checked(request)
        folder = self._folder(request.name)
        place = self._place(folder, request.deployment)
        records = [self._registry.get(parse_reference(model)) for model in request.models]
        with folder.operation():
            if folder.exists and not request.overwrite:
                raise AlreadyExists(f"service {request.name} exists already; say --overwrite to replace it")
            before = folder.read_spec() if folder.exists else None
            if before is not None:
                check_move(before, request.deployment, ComputeTargets(self._home))
            spec = make_spec(request, records, before, _now())
            for warning in deployment_warnings(request, spec, records):
                progress(f"warning: {warning}")
            keys = _keys(request.deployment, folder.read_keys())
            progress(f"deploying service {spec.name}, {spec.mode} mode, of {', '.join(spec.models) or 'no model'}")
            place.deploy(NewGeneration(spec, records, request.inference, keys), progress)
        return spec

    def render(self, request: DeployRequest, directory: Path, progress: Say = quiet) -> list[Path]:
        """Writes the manifests for a compute target and applies nothing; files of an earlier rendering are replaced.
        Raises InvalidArgument: the request cannot be met, or names no compute target. Raises NotFound: a model or the
        compute target does not exist."""
        request = self._checked(request)
        name = request.deployment.compute_target_name
        if name is None:
            raise InvalidArgument("--render writes manifests for a compute target: give --compute-target too")
        target = ComputeTargets(self._home).get(name)
        records = [self._registry.get(parse_reference(model)) for model in request.models]
        before = rendered_before(directory, request.name)
        spec = replace(make_spec(request, records, None, _now()), generation=before.generation + 1)
        for warning in deployment_warnings(request, spec, records):
            progress(f"warning: {warning}")
        keys = _keys(spec.deployment, before.keys)
        return render(NewGeneration(spec, records, request.inference, keys), target, directory, progress)

    def _checked(self, request: DeployRequest) -> DeployRequest:
        check_service_name(request.name)
        if request.inference is not None:
            self._check_source(request.inference)
        return in_its_place(request)

    def _check_source(self, inference: InferenceSpec) -> None:
        """A source directory is copied as a whole, but for folders called `.despina`."""
        source, home = inference.source_directory.resolve(), self._home.directory.resolve()
        if home.is_relative_to(source) and FOLDER not in home.relative_to(source).parts:
            raise InvalidArgument(
                f"source directory {source} holds {home}, which has the registry and the keys of services: name a "
                "folder with nothing but the scripts, or set DESPINA_HOME to one elsewhere"
            )

    def wait(self, name: str, progress: Say = quiet) -> ServiceState:
        """Returns when the service runs or has failed."""
        folder = self._existing(name)
        return self._place_of(folder).wait(progress)

    def get(self, name: str) -> tuple[ServiceSpec, ServiceState]:
        """Raises NotFound: there is no such service; the message names what there is."""
        folder = self._existing(name)
        return folder.read_spec(), self._place_of(folder).state()

    def spec(self, name: str) -> ServiceSpec:
        """Raises NotFound: there is no such service; the message names what there is."""
        return self._existing(name).read_spec()

    def kept_script(self, name: str) -> InferenceSpec | None:
        """The script a service has, for its next generation; None for one without. Raises InvalidArgument: the copy of
        it is in a cluster, or gone."""
        folder = self._existing(name)
        spec = folder.read_spec()
        script = spec.script
        if script is None:
            return None
        source = folder.generation(spec.generation) / SOURCE
        if not source.is_dir():
            raise InvalidArgument(
                f"service {name} has an entry script of which there is no copy here: give its inference "
                "configuration again (--ic, inference_config) or --entry-script"
            )
        environment = None
        if script.environment is not None:
            environment = EnvironmentSpec(script.environment, variables=script.variables)
        return InferenceSpec(script.entry_script, source, environment)

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in self._home.services.glob("[!.]*/spec.json"))

    def all(self) -> list[tuple[ServiceSpec, ServiceState]]:
        """Each that is not deleted while it is looked at; where one cannot be asked, or read, its state is why."""
        found = []
        for name in self.names():
            try:
                found.append(self.get(name))
            except FileNotFoundError:
                if self._folder(name).exists:
                    raise
            except DespinaError as error:
                with suppress(NotFound):  # it was deleted
                    found.append(self._unanswered(name, error.message))
        return found

    def _unanswered(self, name: str, why: str) -> tuple[ServiceSpec, ServiceState]:
        try:
            spec = self._folder(name).read_spec()
        except Internal as damage:
            return ServiceSpec.unreadable(name), ServiceState(State.DAMAGED, error=damage.message)
        return spec, ServiceState(State.UNKNOWN, spec.generation, why)

    def using(self, reference: ModelReference) -> list[str]:
        """The services that were deployed with this version."""
        found = []
        for name in self.names():
            with suppress(NotFound):  # deleted since the names were read
                if str(reference) in self._folder(name).read_spec().models:
                    found.append(name)
        return found

    def delete_model(self, reference: ModelReference) -> ModelRecord:
        """Deletes a registered version that no service uses. Raises NotFound: no such model. Raises InvalidArgument: a
        service was deployed with it."""
        record = self._registry.get(reference)
        if services := self.using(record.reference):
            raise InvalidArgument(f"model {record.id} is in use by service {', '.join(services)}; delete that first")
        return self._registry.delete(record.reference)

    def keys(self, name: str) -> Keys:
        """Raises Unsupported: the service has none."""
        folder = self._existing(name)
        keys = folder.read_keys()
        if keys is None or not folder.read_spec().deployment.keyed:
            raise Unsupported(f"service {name} has no keys: it was deployed without authEnabled")
        return keys

    def regenerate_key(self, name: str, which: str, value: str | None = None) -> Keys:
        """Replaces one key; connections stay."""
        folder = self._existing(name)
        with folder.operation():
            before = self.keys(name)
            keys = regenerate(before, which, value)
            folder.write_keys(keys)
            try:
                self._place_of(folder).show_keys(keys)
            except DespinaError:
                folder.write_keys(before)  # they are the ones that open it
                raise
        return keys

    def log(self, name: str, lines: int) -> list[str]:
        return self._place_of(self._existing(name)).log(lines)

    def restart(self, name: str) -> None:
        """Starts the processes again, on the files that are there."""
        folder = self._existing(name)
        with folder.operation():
            self._place_of(folder).restart()

    def label(self, name: str, change: LabelChange) -> ServiceSpec:
        """Changes what is only said about a service; nothing is started again. Raises InvalidArgument: a property that
        is set already."""
        folder = self._existing(name)
        with folder.operation():
            changed = change.applied(folder.read_spec())
            changed = replace(changed, updated_time=_now())
            folder.write_spec(changed)
        return changed

    def delete(self, name: str, progress: Say = quiet) -> None:
        """Ends everything and removes the folder; returns when ports and disk are free."""
        remove_remains(self._home.services)
        folder = self._existing(name)
        with folder.operation():
            try:
                deployment = folder.read_spec().deployment
            except Internal:
                deployment = DeploymentConfig()
                if not folder.has_generations:
                    progress(
                        f"warning: the file of service {name} is damaged, so nobody knows in which cluster it is: "
                        f"`{deletion_command(name)}` ends it there"
                    )
            self._place(folder, deployment).delete()
            folder.remove()

    def _folder(self, name: str) -> ServiceFolder:
        return ServiceFolder(self._home.services / name)

    def _existing(self, name: str) -> ServiceFolder:
        check_service_name(name)
        folder = self._folder(name)
        if not folder.exists:
            raise NotFound(f"No service with name {name} found; have {', '.join(self.names()) or 'none'}")
        return folder

    def _place_of(self, folder: ServiceFolder) -> Place:
        return self._place(folder, folder.read_spec().deployment)

    def _place(self, folder: ServiceFolder, deployment: DeploymentConfig) -> Place:
        name = deployment.compute_target_name
        if name is None:
            return Machine(folder, self._registry.blobs)
        return InCluster(folder, Cluster(ComputeTargets(self._home).get(name), deployment.namespace))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _keys(deployment: DeploymentConfig, have: Keys | None) -> Keys | None:
    """Those that were given, else those that clients have, else new ones; None for a service without."""
    if not deployment.keyed:
        return None
    return make_keys(
        deployment.primary_key or (have.primary if have else None),
        deployment.secondary_key or (have.secondary if have else None),
    )
