"""kubectl, as one compute target needs it."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from despina.deploy.kubernetes.target import ComputeTarget
from despina.errors import DespinaError, NotFound, Unsupported

FIELD_MANAGER = "despina"
REPLICAS_MANAGER = "despina-replicas"
"""Who has said how many replicas there are, until an autoscaler says so."""

NOT_YET = ("timed out", "progress deadline")
"""What `kubectl rollout status` says of a rollout that is not complete, in contrast to one it cannot look at."""


class Kubectl:
    """Runs one command at a time, against one namespace."""

    def __init__(self, target: ComputeTarget, namespace: str | None = None, program: str = "kubectl") -> None:
        self._target = target
        self._namespace = namespace or target.namespace
        self._program = program

    def apply(self, documents: str) -> None:
        """Server side, so that fields others own (an autoscaler's replicas) stay theirs."""
        self.run([*_apply_words(FIELD_MANAGER), "-f", "-"], documents)

    def keep_replicas(self, deployment: str) -> None:
        """Makes a number of replicas that our manifests have said stay when they say it no more. Else it would be one.
        Raises NotFound: there is no such deployment."""
        replicas = self.get("deployment", deployment)["spec"]["replicas"]
        metadata = {"name": deployment, "namespace": self._namespace}
        document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}}
        # No valid deployment, only a part of one.
        self.run([*_apply_words(REPLICAS_MANAGER), "--validate=false", "-f", "-"], json.dumps(document))

    def wait_for_rollout(self, deployment: str, seconds: int) -> None:
        """Returns at once when a rollout is complete, and after that time when it is not. Raises DespinaError: it
        cannot be watched."""
        words = ["rollout", "status", f"deployment/{deployment}", f"--timeout={seconds}s"]
        done = self._call(words, None)
        if done.returncode and not any(sign in done.stderr for sign in NOT_YET):
            raise self._failed(words, done.stderr)

    def get(self, kind: str, name: str) -> Mapping[str, Any]:
        """Raises NotFound: there is none."""
        document: Mapping[str, Any] = json.loads(self.run(["get", kind, name, "-o", "json"]))
        return document

    def get_all(self, kind: str, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
        document = json.loads(self.run(["get", kind, "-l", selector(labels), "-o", "json"]))
        items: list[Mapping[str, Any]] = document["items"]
        return items

    def serves(self, path: str) -> bool:
        """Whether the cluster has an API at this path."""
        return self._call(["get", "--raw", path], None).returncode == 0

    def delete(self, kinds: str, words: Sequence[str]) -> bool:
        """Returns when they and what depends on them are gone: whether there was anything."""
        return self.run(["delete", kinds, *words, "--ignore-not-found", "--cascade=foreground"]) != ""

    def run(self, words: Sequence[str], stdin: str | None = None) -> str:
        """Returns what it printed. Raises NotFound: the cluster does not have it. Raises DespinaError: it failed; the
        message is kubectl's."""
        done = self._call(words, stdin)
        if done.returncode == 0:
            return done.stdout
        raise self._failed(words, done.stderr)

    def _failed(self, words: Sequence[str], stderr: str) -> DespinaError:
        said = " ".join(line.strip() for line in stderr.splitlines() if line.strip()) or "no message"
        error = NotFound if "(NotFound)" in said else DespinaError
        return error(f"compute target {self._target.name}: kubectl {words[0]} failed: {said}")

    def _call(self, words: Sequence[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self._program, *self._where(), *words],
                input=stdin or "",
                capture_output=True,
                encoding="utf-8",
                errors="replace",  # a container may log any bytes
                check=False,
            )
        except FileNotFoundError:
            raise Unsupported(
                f"compute target {self._target.name} needs {self._program}, which is not installed; "
                "--render DIR writes the manifests without it"
            ) from None

    def _where(self) -> list[str]:
        target = self._target
        words = [] if target.kubeconfig is None else [f"--kubeconfig={target.kubeconfig}"]
        words += [] if target.context is None else [f"--context={target.context}"]
        return [*words, f"--namespace={self._namespace}"]


def _apply_words(manager: str) -> list[str]:
    return ["apply", "--server-side", f"--field-manager={manager}", "--force-conflicts"]


def selector(labels: Mapping[str, str]) -> str:
    """`a=1,b=2`."""
    return ",".join(f"{name}={value}" for name, value in labels.items())
