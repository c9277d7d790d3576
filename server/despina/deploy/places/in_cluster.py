"""A service in a cluster: its manifests are applied there; its folder here remembers what was asked for."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from despina.deploy.folder import ServiceFolder
from despina.deploy.gate.keys import Keys
from despina.deploy.kubernetes.cluster import Cluster, deletion_command
from despina.deploy.kubernetes.manifests import manifests
from despina.deploy.kubernetes.pod.source import pack_source
from despina.deploy.kubernetes.render import write_manifests
from despina.deploy.kubernetes.resources import with_defaults_of_models
from despina.deploy.kubernetes.scaling import scaling_remarks
from despina.deploy.kubernetes.state import ClusterState
from despina.deploy.kubernetes.target import ComputeTarget, ScalingMetric
from despina.deploy.kubernetes.workload import Workload
from despina.deploy.places.place import NewGeneration, Say
from despina.deploy.service import ServiceState, State
from despina.errors import AlreadyExists, DespinaError, NotFound, Unsupported

SHOWN_LINES = 100


class InCluster:
    """One service of a cluster."""

    def __init__(self, folder: ServiceFolder, cluster: Cluster) -> None:
        self._folder = folder
        self._cluster = cluster

    def deploy(self, new: NewGeneration, say: Say) -> None:
        """Raises InvalidArgument: the script is too large for a cluster. Raises AlreadyExists: the cluster has a
        service of this name that is not ours. Raises DespinaError: the cluster refuses, or is not to be reached; the
        service is then as it was before."""
        load = workload(new, self._cluster.target)  # first: what is wrong here need not be asked of a cluster
        load = replace(load, metric=self._cluster.scaling_metric())
        before = self._folder.read_spec() if self._folder.exists else None
        if before is None:
            self._check_free()
        keys_before = self._folder.read_keys()
        if new.keys is not None:
            self._folder.write_keys(new.keys)
        self._folder.write_spec(new.spec)
        try:
            self._cluster.deploy(load, say, before)
        except DespinaError:
            if before is None:
                self._forget()
            else:
                # The number is used up: the cluster may have this generation's configuration, which cannot change.
                self._folder.write_spec(replace(before, generation=new.spec.generation))
                if keys_before is not None:
                    self._folder.write_keys(keys_before)
            raise

    def wait(self, say: Say) -> ServiceState:
        return self._told(self._cluster.wait(self._folder.read_spec(), say))

    def state(self) -> ServiceState:
        """Raises DespinaError: the cluster cannot be asked."""
        try:
            return self._told(self._cluster.state(self._folder.name))
        except NotFound:
            reason = f"it is not in the cluster of compute target {self._cluster.target.name} any more"
            return ServiceState(State.FAILED, self._folder.read_spec().generation, reason)

    def log(self, lines: int) -> list[str]:
        return self._cluster.log(self._folder.name, lines)

    def show_keys(self, keys: Keys) -> None:
        """Pods see them within a minute."""
        self._cluster.set_keys(self._folder.name, keys)

    def restart(self) -> None:
        name, namespace = self._folder.name, self._cluster.namespace
        raise Unsupported(
            f"service {name} runs in compute target {self._cluster.target.name}: "
            f"`kubectl rollout restart deployment/{name} --namespace={namespace}` starts its pods again"
        )

    def delete(self) -> None:
        self._cluster.delete(self._folder.name)

    def _check_free(self) -> None:
        """Somebody else's service must not be replaced, nor be deleted with what the cluster has refused of ours."""
        name, target, namespace = self._folder.name, self._cluster.target.name, self._cluster.namespace
        if self._cluster.has(name):
            raise AlreadyExists(
                f"compute target {target} has a service {name} in namespace {namespace} that is not from this home "
                f"directory: choose another name, or `{deletion_command(name)} --namespace={namespace}` ends it"
            )

    def _told(self, seen: ClusterState) -> ServiceState:
        spec = self._folder.read_spec()
        log: list[str] = []
        if seen.container:
            with suppress(DespinaError):  # what is known must not be lost for want of its log
                log = self._cluster.log(spec.name, SHOWN_LINES, seen.container)
        return ServiceState(seen.state, spec.generation, seen.reason, tuple(log), address=self._cluster.address(spec))

    def _forget(self) -> None:
        with suppress(DespinaError):
            self._cluster.delete(self._folder.name)
        self._folder.remove()


def workload(new: NewGeneration, target: ComputeTarget) -> Workload:
    """What the manifests are made from."""
    source = None if new.inference is None else pack_source(new.inference.source_directory)
    spec = replace(new.spec, deployment=with_defaults_of_models(new.spec.deployment, new.records))
    return Workload(spec, new.records, target, new.keys, source)


def render(new: NewGeneration, target: ComputeTarget, directory: Path, say: Say) -> list[Path]:
    """Writes the manifests and applies nothing. There is no cluster to ask what it can scale by: all can by CPU."""
    auto = target.scaling_metric is ScalingMetric.AUTO
    load = replace(workload(new, target), metric=ScalingMetric.CPU if auto else target.scaling_metric)
    for remark in scaling_remarks(load):
        say(f"warning: {remark}")
    return write_manifests(manifests(load), directory)
