"""A program named kubectl that writes down what it is told and answers from a file."""

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.workloads import KEYS, TARGET, workload

from despina.deploy.kubernetes.cluster import Cluster
from despina.deploy.kubernetes.manifests import manifests
from despina.deploy.kubernetes.target import ComputeTarget, Exposure, ScalingMetric
from despina.deploy.kubernetes.workload import Workload
from despina.deploy.service import ServiceSpec, State
from despina.errors import DespinaError, NotFound, Unsupported

PROGRAM = f"""#!{sys.executable}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([words, sys.stdin.read()]) + "\\n")
answers = json.loads((folder / "answers").read_text())
line = " ".join(words)
for start, replies in answers:
    if start in line:
        status, out, err = replies.pop(0) if len(replies) > 1 else replies[0]
        (folder / "answers").write_text(json.dumps(answers))
        sys.stdout.write(out)
        sys.stderr.write(err)
        sys.exit(status)
"""
LABELS = ",".join(
    f"app.kubernetes.io/{label}" for label in ("name=despina", "instance=triton-webservice", "managed-by=despina")
)

Reply = tuple[int, str, str]


class Recorder:
    """`answers`: part of a command line → replies in turn, the last one for ever."""

    def __init__(self, folder: Path, **answers: list[Reply]) -> None:
        self.program = folder / "kubectl"
        self.program.write_text(PROGRAM)
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        (folder / "answers").write_text(json.dumps([[key.replace("_", " "), one] for key, one in answers.items()]))
        self._calls = folder / "calls"

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line)[0] for line in self._calls.read_text().splitlines()]

    @property
    def inputs(self) -> list[str]:
        return [json.loads(line)[1] for line in self._calls.read_text().splitlines()]

    def cluster(self, target: ComputeTarget = TARGET) -> Cluster:
        return Cluster(target, program=str(self.program))


def ok(document: Any) -> Reply:
    return 0, json.dumps(document), ""


def found(**status: Any) -> Reply:
    labels = {"despina/generation": "2"}
    spec = {"replicas": 1, "template": {"metadata": {"labels": labels}}}
    return ok({"metadata": {"generation": 1}, "spec": spec, "status": {"observedGeneration": 1, **status}})


COMPLETE = [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]
UP = found(replicas=1, updatedReplicas=1, availableReplicas=1, readyReplicas=1, conditions=COMPLETE)
CRASHING = {
    "metadata": {"labels": {"despina/generation": "2"}},
    "status": {"initContainerStatuses": [{"name": "score", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
}


def test_manifests_are_applied_at_the_server_in_one_list(tmp_path: Path) -> None:
    kubectl, said = Recorder(tmp_path), list[str]()
    target = replace(TARGET, kubeconfig=tmp_path / "config", context="prod")
    kubectl.cluster(target).deploy(workload(target=target), said.append)
    where = [f"--kubeconfig={tmp_path}/config", "--context=prod", "--namespace=ml"]
    apply = ["apply", "--server-side", "--field-manager=despina", "--force-conflicts", "-f", "-"]
    assert kubectl.calls == [[*where, *apply]]
    kinds = [one["kind"] for one in json.loads(kubectl.inputs[0])["items"]]
    assert kinds[:2] == ["ConfigMap", "Secret"]
    assert said[0].startswith("warning: the autoscaler looks at CPU")
    assert said[1].startswith("applied ConfigMap, Secret, Service, Deployment")


def test_context_of_the_usual_configuration_is_named(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path)
    kubectl.cluster(replace(TARGET, context="prod")).delete("triton-webservice")
    assert kubectl.calls[0][:2] == ["--context=prod", "--namespace=ml"]


def test_what_a_service_no_longer_has_is_deleted(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path)
    target = replace(TARGET, expose=Exposure.NONE)
    kubectl.cluster(target).deploy(workload(target=target, authEnabled=False, numReplicas=1))
    deleted = [call[1:4] for call in kubectl.calls if call[1] == "delete"]
    assert deleted == [
        ["delete", "horizontalpodautoscaler", "triton-webservice"],
        ["delete", "ingress", "triton-webservice"],
        ["delete", "secret", "triton-webservice-keys"],
    ]


def test_pods_stay_as_many_as_they_are_until_the_autoscaler_has_looked(tmp_path: Path) -> None:
    """A number that only our manifests said would become one with the first manifest that does not say it."""
    kubectl = Recorder(tmp_path, get_deployment=[found()])
    fixed, scaled = workload(numReplicas=1), workload(generation=3)
    kubectl.cluster().deploy(scaled, before=fixed.spec)
    applied = [(call, text) for call, text in zip(kubectl.calls, kubectl.inputs, strict=True) if "apply" in call]
    (keeping, part), (_, whole) = applied
    assert keeping[2:5] == ["--server-side", "--field-manager=despina-replicas", "--force-conflicts"]
    assert json.loads(part)["metadata"] == {"name": "triton-webservice", "namespace": "ml"}
    assert json.loads(part)["spec"] == {"replicas": 1}
    assert "Deployment" in {one["kind"] for one in json.loads(whole)["items"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, workload()),
        (workload().spec, workload()),
        (workload(numReplicas=1).spec, workload(numReplicas=2)),
        (workload().spec, workload(numReplicas=2)),
    ],
    ids=["nothing", "scaled", "fixed", "fixed now"],
)
def test_a_number_of_replicas_that_stays_with_its_owner_is_left_alone(
    tmp_path: Path, before: ServiceSpec | None, after: Workload
) -> None:
    kubectl = Recorder(tmp_path)
    kubectl.cluster().deploy(after, before=before)
    assert [call[1] for call in kubectl.calls if call[1] != "delete"] == ["apply"]


def test_the_number_of_replicas_is_said_again_when_the_autoscaler_is_gone(tmp_path: Path) -> None:
    """It may have changed it after it was applied."""
    told = (0, 'horizontalpodautoscaler.autoscaling "triton-webservice" deleted\n', "")
    kubectl = Recorder(tmp_path, delete_horizontalpodautoscaler=[told])
    kubectl.cluster().deploy(workload(numReplicas=2), before=workload().spec)
    assert [call[1:3] for call in kubectl.calls] == [
        ["apply", "--server-side"],
        ["delete", "horizontalpodautoscaler"],
        ["apply", "--server-side"],
    ]
    assert kubectl.inputs[0] == kubectl.inputs[2]


def test_a_deployment_that_somebody_deleted_has_no_number_to_keep(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path, get_deployment=[(1, "", "Error from server (NotFound): it is gone")])
    kubectl.cluster().deploy(workload(), before=workload(numReplicas=3).spec)
    assert kubectl.calls[-1][1] == "apply"


def configurations(*generations: int) -> Reply:
    names = [(f"triton-webservice-{number}", {"despina/generation": str(number)}) for number in generations]
    return ok({"items": [{"metadata": {"name": name, "labels": labels}} for name, labels in names]})


def test_waiting_ends_when_the_rollout_is_complete_and_older_configurations_go(tmp_path: Path) -> None:
    late = (1, "", "error: timed out waiting for the condition")
    answers = {
        "get_deployment": [found(), found(), UP],
        "get_pods": [ok({"items": []})],
        "get_configmap": [configurations(0, 1, 2)],
        "rollout": [late, (0, "", "")],
    }
    kubectl, said = Recorder(tmp_path, **answers), list[str]()
    state = kubectl.cluster().wait(workload().spec, said.append)
    assert state.state is State.RUNNING
    assert said == ["Transitioning, 0 of 1 replicas ready.", "Healthy, 1 of 1 replicas ready."]
    rollout = ["--namespace=ml", "rollout", "status", "deployment/triton-webservice", "--timeout=10s"]
    assert kubectl.calls[0] == rollout
    assert kubectl.calls[-1][1:4] == ["delete", "configmap", "triton-webservice-0"]


@pytest.mark.parametrize("asked", [1, 2, 5])
def test_configurations_of_what_runs_and_of_newer_generations_stay(tmp_path: Path, asked: int) -> None:
    answers = {"get_deployment": [UP], "get_pods": [ok({"items": []})], "get_configmap": [configurations(1, 2, 3, 4)]}
    kubectl = Recorder(tmp_path, **answers)
    assert kubectl.cluster().wait(workload(generation=asked).spec).state is State.RUNNING
    assert all(call[1] != "delete" for call in kubectl.calls)


def test_waiting_ends_when_a_container_does_not_stay_up(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path, get_deployment=[found()], get_pods=[ok({"items": [CRASHING]})])
    state = kubectl.cluster().wait(workload().spec)
    assert (state.state, state.reason, state.container) == (State.FAILED, "container score: CrashLoopBackOff", "score")
    assert all(call[1] != "delete" for call in kubectl.calls)


def test_waiting_goes_on_while_no_node_has_room(tmp_path: Path) -> None:
    full = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    pod = {"metadata": {"labels": {"despina/generation": "2"}}, "status": {"conditions": [full]}}
    answers = {
        "get_deployment": [found(), UP],
        "get_pods": [ok({"items": [pod]})],
        "get_configmap": [configurations(2)],
    }
    kubectl, said = Recorder(tmp_path, **answers), list[str]()
    assert kubectl.cluster().wait(workload().spec, said.append).state is State.RUNNING
    assert said[0] == "Unschedulable, 0 of 1 replicas ready. FailedScheduling: 0/3 nodes are available"


def test_waiting_ends_when_the_deadline_of_the_rollout_has_passed(tmp_path: Path) -> None:
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late"}]
    told = (1, "", 'error: deployment "triton-webservice" exceeded its progress deadline')
    answers = {"get_deployment": [found(conditions=late)], "get_pods": [ok({"items": []})], "rollout": [told]}
    state = Recorder(tmp_path, **answers).cluster().wait(workload().spec)
    assert (state.state, state.reason) == (State.FAILED, "ProgressDeadlineExceeded: too late")


def test_waiting_ends_when_somebody_deletes_the_service(tmp_path: Path) -> None:
    status, text, _ = found()
    document = json.loads(text)
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    going, gone = (status, json.dumps(document), ""), (1, "", "Error from server (NotFound): it is gone")
    kubectl = Recorder(tmp_path, get_deployment=[going, gone], get_pods=[ok({"items": []})])
    assert kubectl.cluster().wait(workload().spec).state is State.DELETED


def test_waiting_ends_when_the_rollout_cannot_be_watched(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path, rollout=[(1, "", "Error from server (Forbidden): deployments.apps is forbidden")])
    with pytest.raises(DespinaError, match=r"kubectl rollout failed: .*Forbidden"):
        kubectl.cluster().wait(workload().spec)


def test_requests_in_flight_are_chosen_where_the_cluster_serves_them(tmp_path: Path) -> None:
    for status, expected in ((0, ScalingMetric.IN_FLIGHT), (1, ScalingMetric.CPU)):
        kubectl = Recorder(tmp_path, get=[(status, "", "")])
        assert kubectl.cluster().scaling_metric() is expected
    assert kubectl.calls[0][1:] == ["get", "--raw", "/apis/custom.metrics.k8s.io/v1beta1"]


def test_a_stated_metric_asks_nobody(tmp_path: Path) -> None:
    cluster = Cluster(replace(TARGET, scaling_metric=ScalingMetric.IN_FLIGHT), program=str(tmp_path / "absent"))
    assert cluster.scaling_metric() is ScalingMetric.IN_FLIGHT


def published(**one: str) -> Reply:
    return ok({"status": {"loadBalancer": {"ingress": [one] if one else []}}})


BASE = "/api/v1/service/triton-webservice"


@pytest.mark.parametrize(
    ("target", "reply", "expected"),
    [
        (TARGET, published(ip="192.0.2.1"), f"http://192.0.2.1{BASE}"),
        (TARGET, published(), None),
        (replace(TARGET, ingress_host="ml.example", tls_secret="c"), published(), f"https://ml.example{BASE}"),
        (replace(TARGET, ingress_host="*.ml.example"), published(), f"http://triton-webservice.ml.example{BASE}"),
        (replace(TARGET, expose=Exposure.LOAD_BALANCER), published(hostname="lb.example"), f"http://lb.example{BASE}"),
        (
            replace(TARGET, expose=Exposure.LOAD_BALANCER, tls_secret="c"),
            published(ip="192.0.2.1"),
            f"http://192.0.2.1{BASE}",
        ),
        (replace(TARGET, expose=Exposure.NONE), published(), f"http://triton-webservice.ml.svc{BASE}"),
    ],
)
def test_address(tmp_path: Path, target: ComputeTarget, reply: Reply, expected: str | None) -> None:
    kubectl = Recorder(tmp_path, get_ingress=[reply], get_service=[reply])
    assert kubectl.cluster(target).address(workload(target=target).spec) == expected


def test_logs_of_all_containers_or_of_one(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path, logs=[(0, "[pod/a/gate] one\n[pod/a/gate] two\n", "")])
    assert kubectl.cluster().log("triton-webservice", 5) == ["[pod/a/gate] one", "[pod/a/gate] two"]
    kubectl.cluster().log("triton-webservice", 5, "score")
    words = ["logs", "-l", LABELS, "--all-containers", "--prefix", "--tail=5", "--max-log-requests=30"]
    assert kubectl.calls[0][1:] == [*words, "--ignore-errors"]
    assert "--container=score" in kubectl.calls[1]


def test_log_that_is_no_text_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nprintf 'caf\\351\\n'\n")
    program.chmod(0o755)
    assert Cluster(TARGET, program=str(program)).log("triton-webservice", 5) == ["caf\ufffd"]


def test_keys_are_replaced_alone(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path)
    kubectl.cluster().set_keys("triton-webservice", KEYS)
    (secret,) = json.loads(kubectl.inputs[0])["items"]
    assert secret["metadata"]["name"] == "triton-webservice-keys"
    assert "first-key" not in " ".join(kubectl.calls[0])


def test_deleting_waits_for_everything_of_the_service(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path)
    kubectl.cluster().delete("triton-webservice")
    assert kubectl.calls[0][1] == "delete"
    kinds = {document["kind"].lower() for document in manifests(workload())}
    assert set(kubectl.calls[0][2].split(",")) == kinds
    assert kubectl.calls[0][3:] == ["-l", LABELS, "--ignore-not-found", "--cascade=foreground"]


def test_what_kubectl_says_is_passed_on(tmp_path: Path) -> None:
    kubectl = Recorder(tmp_path, apply=[(1, "", 'error: context "prod"\n does not exist\n')])
    with pytest.raises(DespinaError, match='cluster: kubectl apply failed: error: context "prod" does not exist'):
        kubectl.cluster().deploy(workload())


def test_a_service_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    missing = 'Error from server (NotFound): deployments.apps "triton-webservice" not found'
    kubectl = Recorder(tmp_path, get_deployment=[(1, "", missing)])
    with pytest.raises(NotFound, match=r"deployments\.apps"):
        kubectl.cluster().state("triton-webservice")


def test_without_kubectl_the_way_around_is_named(tmp_path: Path) -> None:
    cluster = Cluster(TARGET, program=str(tmp_path / "absent"))
    with pytest.raises(Unsupported, match="--render DIR writes the manifests without it"):
        cluster.state("triton-webservice")
