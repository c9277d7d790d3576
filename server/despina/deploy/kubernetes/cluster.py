"""Services in one cluster: brought there, watched, asked, removed."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from despina.deploy.gate.keys import Keys
from despina.deploy.kubernetes.configuration import keys_secret
from despina.deploy.kubernetes.kubectl import Kubectl, selector
from despina.deploy.kubernetes.manifests import manifests
from despina.deploy.kubernetes.render import to_list
from despina.deploy.kubernetes.scaling import autoscaled, scaling_remarks
from despina.deploy.kubernetes.state import ClusterState, state_of
from despina.deploy.kubernetes.target import ComputeTarget, Exposure, ScalingMetric
from despina.deploy.kubernetes.workload import GENERATION_LABEL, Workload, keys_name, labels_of
from despina.deploy.places.place import Say, quiet
from despina.deploy.service import ServiceSpec, State
from despina.errors import NotFound

KINDS = "deployment,service,horizontalpodautoscaler,poddisruptionbudget,ingress,secret,configmap"
LOOK_SECONDS = 10
"""A rollout that completes is seen at once; one that will not is looked at this often."""

CUSTOM_METRICS = "/apis/custom.metrics.k8s.io/v1beta1"
MOST_LOGS = 30


class Cluster:
    """The services of one target in one namespace."""

    def __init__(self, target: ComputeTarget, namespace: str | None = None, program: str = "kubectl") -> None:
        self.target = target
        self.namespace = namespace or target.namespace
        self._kubectl = Kubectl(target, namespace, program)

    def scaling_metric(self) -> ScalingMetric:
        """The target's; where it says `auto`, requests in flight if the cluster can serve them, else CPU."""
        if self.target.scaling_metric is not ScalingMetric.AUTO:
            return self.target.scaling_metric
        return ScalingMetric.IN_FLIGHT if self._kubectl.serves(CUSTOM_METRICS) else ScalingMetric.CPU

    def has(self, name: str) -> bool:
        """Whether something of a service is there, whoever brought it."""
        return bool(self._kubectl.get_all("configmap", labels_of(name)))

    def deploy(self, load: Workload, say: Say = quiet, before: ServiceSpec | None = None) -> None:
        """Applies the manifests and removes what an earlier generation, `before`, had beside; returns before pods are
        ready. Raises DespinaError: the cluster refuses, or is not to be reached."""
        documents = manifests(load)
        for remark in scaling_remarks(load):
            say(f"warning: {remark}")
        if before is not None and not autoscaled(before) and autoscaled(load.spec):
            with suppress(NotFound):  # somebody has deleted it
                self._kubectl.keep_replicas(load.name)
        self._kubectl.apply(to_list(documents))
        say(f"applied {', '.join(document['kind'] for document in documents)} {load.name} in {self.namespace}")
        rendered = {document["kind"] for document in documents}
        for kind, name in (
            ("HorizontalPodAutoscaler", load.name),
            ("Ingress", load.name),
            ("Secret", keys_name(load.name)),
        ):
            gone = kind not in rendered and self._kubectl.delete(kind.lower(), [name])
            if gone and kind == "HorizontalPodAutoscaler":
                # Until then it may have changed the number of replicas that was applied.
                self._kubectl.apply(to_list(documents))

    def wait(self, spec: ServiceSpec, say: Say = quiet) -> ClusterState:
        """Returns when the service's state is final. The cluster ends the wait: by the rollout's deadline."""
        told: tuple[State, str | None] | None = None
        while True:
            self._kubectl.wait_for_rollout(spec.name, LOOK_SECONDS)
            seen = self.state(spec.name)
            if told != (seen.state, seen.reason):
                told = (seen.state, seen.reason)
                word = seen.state.cluster_word
                say(f"{word}, {seen.ready} of {seen.replicas} replicas ready. {seen.reason or ''}".rstrip())
            if seen.state is State.RUNNING:
                self._forget_before(spec.name)
            if seen.state.final:
                return seen

    def state(self, name: str) -> ClusterState:
        """Raises NotFound: the service is not in the cluster."""
        deployment = self._kubectl.get("deployment", name)
        return state_of(deployment, self._kubectl.get_all("pods", labels_of(name)))

    def address(self, spec: ServiceSpec) -> str | None:
        """The service's URL, without a slash at its end; None while the cluster has not given it an address."""
        if self.target.expose is Exposure.NONE:
            return f"http://{spec.name}.{self.namespace}.svc{spec.base_path}"
        if self.target.expose is Exposure.LOAD_BALANCER:
            host = _published(self._kubectl.get("service", spec.name))
        elif self.target.ingress_host is not None:
            host = self.target.ingress_host.replace("*", spec.name)  # one of those that a wildcard stands for
        else:
            host = _published(self._kubectl.get("ingress", spec.name))
        scheme = "https" if self.target.tls_secret and self.target.expose is Exposure.INGRESS else "http"
        return None if host is None else f"{scheme}://{host}{spec.base_path}"

    def log(self, name: str, lines: int, container: str | None = None) -> list[str]:
        """The last lines of each container, or of one; every line begins with pod and container.

        One that has not started gives a line that says so, instead of ending it all.
        """
        which = "--all-containers" if container is None else f"--container={container}"
        words = ["logs", "-l", selector(labels_of(name)), which, "--prefix", f"--tail={lines}"]
        return self._kubectl.run([*words, f"--max-log-requests={MOST_LOGS}", "--ignore-errors"]).splitlines()

    def set_keys(self, name: str, keys: Keys) -> None:
        """Pods see them within a minute, without a restart."""
        self._kubectl.apply(to_list([keys_secret(name, self.namespace, keys)]))

    def delete(self, name: str) -> None:
        """Returns when nothing of the service is left."""
        self._kubectl.delete(KINDS, ["-l", selector(labels_of(name))])

    def _forget_before(self, name: str) -> None:
        # By what runs, not by what was asked for: the cluster may have refused that, or have something newer by now.
        template = self._kubectl.get("deployment", name)["spec"]["template"]
        # The generation before stays, for `kubectl rollout undo`.
        kept = _generation(template) - 1
        found = self._kubectl.get_all("configmap", labels_of(name))
        if old := [one["metadata"]["name"] for one in found if _generation(one) < kept]:
            self._kubectl.delete("configmap", old)


def deletion_command(name: str) -> str:
    """What deletes a service, and nothing else, in the namespace that kubectl looks at."""
    return f"kubectl delete {KINDS} -l {selector(labels_of(name))}"


def _generation(document: Mapping[str, Any]) -> int:
    return int(document["metadata"]["labels"][GENERATION_LABEL])


def _published(document: Mapping[str, Any]) -> str | None:
    for one in document.get("status", {}).get("loadBalancer", {}).get("ingress", ()):
        if address := one.get("hostname") or one.get("ip"):
            return str(address)
    return None
