"""Services in a cluster that is a program named kubectl with answers in a file."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.workloads import TARGET

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.home import Home
from despina.deploy.kubernetes.pod.source import LARGEST_BYTES
from despina.deploy.kubernetes.target import ComputeTargets
from despina.deploy.record import ModelDescription, Resources
from despina.deploy.registry import Registry
from despina.deploy.service import State
from despina.deploy.service_record import describe
from despina.deploy.services import Services
from despina.errors import AlreadyExists, DespinaError, InvalidArgument, NotFound, Unsupported

KUBECTL = f"""#!{sys.executable}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([sys.argv[1:], sys.stdin.read()]) + "\\n")
for word, (status, text) in json.loads((folder / "answers").read_text()).items():
    if word in " ".join(sys.argv[1:]):
        (sys.stderr if status else sys.stdout).write(text)
        sys.exit(status)
"""


def deployed(generation: int = 1, **status: Any) -> str:
    template = {"metadata": {"labels": {"despina/generation": str(generation)}}}
    spec = {"replicas": 1, "template": template}
    return json.dumps({"metadata": {"generation": 1}, "spec": spec, "status": {"observedGeneration": 1, **status}})


COMPLETE = [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]
UP = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1, "conditions": COMPLETE}
PUBLISHED = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}})
NONE = [0, '{"items": []}']
HEALTHY = {
    "get deployment": [0, deployed(**UP)],
    "get pods": NONE,
    "get configmap": NONE,
    "get ingress": [0, PUBLISHED],
}


class Bench:
    """A home with a model, a script, a compute target and a cluster."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = Home(root / "home")
        self.home.directory.mkdir()
        registry = Registry(self.home)
        self.services = Services(self.home, registry)
        ComputeTargets(self.home).attach(TARGET)
        (root / "model.onnx").write_bytes(b"weights")
        registry.register(ModelDescription("m", "Onnx"), root / "model.onnx")
        (root / "source").mkdir()
        (root / "source" / "score.py").write_text("def init(): pass\ndef run(data): pass\n")
        self.said: list[str] = []

    def kubectl(self, answers: dict[str, Any]) -> None:
        (self.root / "bin").mkdir(exist_ok=True)
        (self.root / "bin" / "answers").write_text(json.dumps({"get configmap": NONE, **answers}))
        program = self.root / "bin" / "kubectl"
        program.write_text(KUBECTL)
        program.chmod(0o755)

    def calls(self) -> list[tuple[str, str]]:
        lines = (self.root / "bin" / "calls").read_text().splitlines()
        return [(" ".join(words), stdin) for words, stdin in map(json.loads, lines)]

    def request(self, **fields: Any) -> DeployRequest:
        script = InferenceSpec("score.py", self.root / "source") if fields.pop("script", False) else None
        config = DeploymentConfig(compute_target_name="cluster", **fields)
        return DeployRequest("svc", ["m"], config, script, overwrite=True)

    def shown(self) -> dict[str, Any]:
        return describe(*self.services.get("svc"), "home")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Bench(tmp_path)


def test_service_is_applied_watched_and_deleted(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request(), bench.said.append)
    assert bench.said[0] == "deploying service svc, direct mode, of m:1"
    assert bench.services.wait("svc", bench.said.append).state is State.RUNNING
    shown = bench.shown()
    assert shown["scoringUri"] == "http://192.0.2.7/api/v1/service/svc/"
    assert (shown["state"], shown["computeType"], shown["computeTarget"], shown["port"]) == (
        "Healthy",
        "AKS",
        "cluster",
        None,
    )
    assert shown["authEnabled"] is True
    bench.services.delete("svc")
    assert "delete deployment,service," in bench.calls()[-1][0]
    assert bench.services.names() == []


def test_a_service_that_scales_by_itself_from_now_on_keeps_its_pods_meanwhile(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request(num_replicas=1))
    bench.services.deploy(bench.request())
    applied = [words for words, _ in bench.calls() if " apply " in words]
    assert ["despina-replicas" in words for words in applied] == [False, True, False]


def test_autoscaler_looks_at_requests_in_flight_where_the_cluster_serves_them(bench: Bench) -> None:
    bench.kubectl(HEALTHY)  # and all else it is asked, with success
    bench.services.deploy(bench.request())
    (applied,) = [stdin for words, stdin in bench.calls() if " apply " in words]
    (scaler,) = [one for one in json.loads(applied)["items"] if one["kind"] == "HorizontalPodAutoscaler"]
    assert [metric["type"] for metric in scaler["spec"]["metrics"]] == ["Pods"]


def test_a_script_that_is_too_large_is_refused_before_the_cluster_is_asked(bench: Bench) -> None:
    bench.kubectl({"": [1, "Unable to connect to the server"]})
    (bench.root / "source" / "weights.bin").write_bytes(os.urandom(LARGEST_BYTES + 1))
    with pytest.raises(InvalidArgument, match="keep large files in a model, or in the image"):
        bench.services.deploy(bench.request(script=True))
    assert not (bench.root / "bin" / "calls").exists()


def test_keys_are_those_of_the_secret_and_change_there(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request())
    before = bench.services.keys("svc")
    after = bench.services.regenerate_key("svc", "Primary")
    assert after.primary != before.primary
    (secret,) = json.loads(bench.calls()[-1][1])["items"]
    assert secret["kind"] == "Secret"
    bench.services.deploy(bench.request())
    assert bench.services.keys("svc") == after


def test_script_travels_with_the_service(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    spec = bench.services.deploy(bench.request(script=True, auth_enabled=False))
    assert spec.mode == "default"
    (applied,) = [stdin for words, stdin in bench.calls() if " apply " in words]
    configuration = json.loads(applied)["items"][0]
    assert configuration["kind"] == "ConfigMap"
    assert configuration["binaryData"]


def test_failed_container_is_told_with_its_log(bench: Bench) -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    pod = {
        "metadata": {"labels": {"despina/generation": "1"}},
        "status": {"initContainerStatuses": [{"name": "score", "state": waiting}]},
    }
    answers = {"get deployment": [0, deployed()], "get pods": [0, json.dumps({"items": [pod]})]}
    bench.kubectl({**answers, "get ingress": [0, "{}"], "logs": [0, "RuntimeError: no weights\n"]})
    bench.services.deploy(bench.request())
    state = bench.services.wait("svc")
    assert (state.state, state.error, state.log) == (
        State.FAILED,
        "container score: CrashLoopBackOff",
        ("RuntimeError: no weights",),
    )
    assert "--container=score" in next(words for words, _ in bench.calls() if " logs " in words)
    assert bench.shown()["scoringUri"] is None
    bench.kubectl({**answers, "get ingress": [0, "{}"], "logs": [1, "container score is not valid for pod svc-1"]})
    state = bench.services.wait("svc")
    assert (state.state, state.error, state.log) == (State.FAILED, "container score: CrashLoopBackOff", ())


def test_what_the_cluster_refuses_leaves_nothing_or_the_one_before(bench: Bench) -> None:
    bench.kubectl({"apply": [1, "error: forbidden"]})
    with pytest.raises(DespinaError, match="compute target cluster: kubectl apply failed: error: forbidden"):
        bench.services.deploy(bench.request())
    assert bench.services.names() == []
    assert "delete deployment,service," in bench.calls()[-1][0]  # it may have taken a part
    bench.kubectl({"apply": [1, "error: unreachable"], "delete": [1, "error: unreachable"]})
    with pytest.raises(DespinaError, match="kubectl apply failed: error: unreachable"):
        bench.services.deploy(bench.request())
    assert bench.services.names() == []
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request(gpu_cores=1))
    bench.kubectl({"apply": [1, "error: forbidden"], **HEALTHY})
    with pytest.raises(DespinaError, match="forbidden"):
        bench.services.deploy(bench.request(gpu_cores=2))
    spec, _ = bench.services.get("svc")
    assert (spec.generation, spec.deployment.gpu_cores) == (2, 1)


def test_service_of_another_home_directory_is_neither_replaced_nor_deleted(bench: Bench) -> None:
    refused = [1, "ConfigMap svc-1 is invalid: data: Forbidden: field is immutable"]
    bench.kubectl({"get configmap": [0, '{"items": [{}]}'], "apply": refused})
    with pytest.raises(AlreadyExists, match="has a service svc in namespace ml that is not from this home directory"):
        bench.services.deploy(bench.request())
    assert bench.services.names() == []
    assert [words for words, _ in bench.calls() if " apply " in words or " delete " in words] == []


def test_without_kubectl_the_message_names_render(bench: Bench) -> None:
    with pytest.raises(Unsupported, match=r"needs kubectl, which is not installed; --render DIR writes"):
        bench.services.deploy(bench.request())
    assert bench.services.names() == []


def test_target_that_is_not_attached_is_named_with_those_that_are(bench: Bench) -> None:
    request = DeployRequest("svc", ["m"], DeploymentConfig(compute_target_name="aks-gpu"))
    with pytest.raises(NotFound, match="compute target aks-gpu is not attached; have cluster"):
        bench.services.deploy(request)


def test_restart_is_kubectls_and_says_how(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request())
    with pytest.raises(Unsupported, match="`kubectl rollout restart deployment/svc --namespace=ml`"):
        bench.services.restart("svc")


def test_namespace_of_the_configuration_wins_over_the_targets(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request(namespace="other"))
    bench.services.wait("svc")
    with pytest.raises(Unsupported, match="--namespace=other`"):
        bench.services.restart("svc")
    bench.services.delete("svc")
    assert [words for words, _ in bench.calls() if "--namespace=other" not in words] == []
    (applied,) = [stdin for words, stdin in bench.calls() if " apply " in words]
    assert {item["metadata"]["namespace"] for item in json.loads(applied)["items"]} == {"other"}


def test_service_does_not_move_by_overwriting(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request())
    with pytest.raises(InvalidArgument, match="runs in compute target cluster: delete it before"):
        bench.services.deploy(DeployRequest("svc", ["m"], overwrite=True))


def test_service_does_not_move_to_another_namespace_by_overwriting(bench: Bench) -> None:
    """The one before would run on, and `despina service delete` would not look there."""
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request())
    with pytest.raises(
        InvalidArgument, match=r"cluster, namespace ml: delete it before .* cluster, namespace other, or"
    ):
        bench.services.deploy(bench.request(namespace="other"))
    bench.services.deploy(bench.request(namespace="ml"))  # the target's own, named


def test_service_that_somebody_deleted_in_the_cluster_has_failed(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request())
    bench.kubectl({"get": [1, 'Error from server (NotFound): deployments.apps "svc" not found']})
    state = bench.services.get("svc")[1]
    assert state.error == "it is not in the cluster of compute target cluster any more"


def test_rendering_starts_nothing_and_keeps_keys_and_counts_on(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def secret() -> Any:
        return json.loads((out / "svc-1-secret.json").read_text())["data"]

    files = bench.services.render(bench.request(), out, bench.said.append)
    assert files[0].name == "svc-0-configmap.json"
    assert any("the autoscaler looks at CPU" in line for line in bench.said)
    keys = secret()
    bench.services.render(bench.request(), out)
    assert secret() == keys
    name = json.loads((out / "svc-0-configmap.json").read_text())["metadata"]["name"]
    assert name == "svc-2"
    assert bench.services.names() == []
    assert not (tmp_path / "bin").exists()


def containers(files: list[Path]) -> dict[str, Any]:
    (deployment,) = [json.loads(path.read_text()) for path in files if path.stem.endswith("-deployment")]
    pod = deployment["spec"]["template"]["spec"]
    return {one["name"]: one["resources"] for one in [*pod["initContainers"], *pod["containers"]]}


def test_pods_ask_for_what_the_model_was_registered_with(bench: Bench, tmp_path: Path) -> None:
    said = ModelDescription("m", "Onnx", resources=Resources(2, 8, 1))
    Registry(bench.home).register(said, bench.root / "model.onnx")
    server = containers(bench.services.render(bench.request(), tmp_path / "out"))["server"]
    assert server["requests"] == {"cpu": "2000m", "memory": "8192Mi", "nvidia.com/gpu": "1"}
    assert server["limits"]["nvidia.com/gpu"] == "1"


def test_a_deployment_wins_over_what_the_model_was_registered_with(bench: Bench, tmp_path: Path) -> None:
    said = ModelDescription("m", "Onnx", resources=Resources(2, 8, 1))
    Registry(bench.home).register(said, bench.root / "model.onnx")
    request = bench.request(cpu_cores=1.0, memory_gb_limit=4.0, gpu_cores=0)
    server = containers(bench.services.render(request, tmp_path / "out"))["server"]
    assert server["requests"] == {"cpu": "1000m", "memory": "4096Mi"}
    assert server["limits"] == {"memory": "4096Mi"}


def test_rendering_needs_a_target(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="give --compute-target too"):
        bench.services.render(DeployRequest("svc", ["m"]), tmp_path / "out")


def test_keys_that_the_cluster_did_not_take_are_not_shown(bench: Bench) -> None:
    bench.kubectl(HEALTHY)
    bench.services.deploy(bench.request(primary_key="one", secondary_key="two"))
    before = bench.services.keys("svc")
    bench.kubectl({"apply": [1, "error: forbidden"], **HEALTHY})
    with pytest.raises(DespinaError, match="forbidden"):
        bench.services.deploy(bench.request(primary_key="three"))
    assert bench.services.keys("svc") == before
    with pytest.raises(DespinaError, match="forbidden"):
        bench.services.regenerate_key("svc", "Secondary")
    assert bench.services.keys("svc") == before
