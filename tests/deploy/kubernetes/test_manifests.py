"""Every manifest of every kind of service against the schemas that Kubernetes publishes; unknown fields are errors."""

import copy
import json
from dataclasses import replace
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
from tests.support.workloads import TARGET, workload

from despina.deploy.gate.keys import Keys
from despina.deploy.http_status import SECONDS
from despina.deploy.kubernetes.manifests import manifests
from despina.deploy.kubernetes.pod.gate import UNLISTED_SECONDS
from despina.deploy.kubernetes.target import ComputeTarget, Exposure, ScalingMetric
from despina.deploy.kubernetes.workload import Document, Workload
from despina.deploy.service import Mode
from despina.errors import InvalidArgument
from despina.settings import Settings

VERSIONS = ("1.29", "1.33", "1.37")
"""The oldest with sidecars, one between, and the newest that the schemas know."""

FULL: dict[str, Any] = {
    "namespace": "other",
    "containerResourceRequirements": {"cpu": 1, "cpuLimit": 2, "memoryInGB": 4, "memoryInGBLimit": 6},
    "gpuCores": 1,
    "autoScaler": {
        "autoscaleEnabled": True,
        "minReplicas": 2,
        "maxReplicas": 5,
        "refreshPeriodInSeconds": 1,
        "targetUtilization": 80,
    },
    "scoringTimeoutMs": 30000,
    "maxConcurrentRequestsPerContainer": 64,
    "maxQueueWaitMs": 250,
    "livenessProbeRequirements": {
        "periodSeconds": 7,
        "initialDelaySeconds": 100,
        "timeoutSeconds": 3,
        "successThreshold": 2,
        "failureThreshold": 4,
    },
}
CONFIGS: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "the page's own": {"containerResourceRequirements": {"cpu": 1, "memoryInGB": 4}, "gpuCores": 1},
    "everything said": FULL,
    "fixed replicas": {"numReplicas": 3},
    "no keys": {"authEnabled": False},
}
TARGETS = {
    "claim": TARGET,
    "url": replace(TARGET, model_claim=None, model_url="https://models.example/blobs"),
    "host and certificate": replace(TARGET, ingress_class="nginx", ingress_host="ml.example", tls_secret="certificate"),
    "certificate for any host": replace(TARGET, tls_secret="certificate"),
    "load balancer": replace(TARGET, expose=Exposure.LOAD_BALANCER, pull_secret="registry"),
    "inside only": replace(TARGET, expose=Exposure.NONE),
}


def of_kind(documents: list[Document], kind: str) -> Document:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def containers(documents: list[Document]) -> dict[str, Document]:
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    return {one["name"]: one for one in (*pod["initContainers"], *pod["containers"])}


def check(load: Workload, version: str) -> None:
    for metric in (ScalingMetric.CPU, ScalingMetric.IN_FLIGHT):
        for document in manifests(replace(load, metric=metric)):
            validate(json.dumps(document), version)


@cache
def validate(document: str, version: str) -> None:
    """Once, though the same document is part of many services: it takes a while."""
    kubernetes_validate.validate(json.loads(document), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("mode", Mode)
def test_manifests_of_every_configuration_follow_the_schemas(mode: Mode, config: dict[str, Any], version: str) -> None:
    check(workload(mode, **config), version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_manifests_for_every_target_follow_the_schemas(target: ComputeTarget, version: str) -> None:
    check(workload(Mode.MIDDLEWARE, target, **FULL), version)


def test_the_schemas_refuse_what_they_do_not_know() -> None:
    wrong = copy.deepcopy(of_kind(manifests(workload()), "Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, "1.33", strict=True)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("mode", Mode)
def test_what_is_mounted_is_there_and_what_is_there_is_mounted(
    mode: Mode, config: dict[str, Any], target: ComputeTarget
) -> None:
    documents = manifests(workload(mode, target, **config))
    volumes = {one["name"] for one in of_kind(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]}
    assert {mount["name"] for one in containers(documents).values() for mount in one["volumeMounts"]} == volumes


def test_everything_is_named_and_labelled_after_the_service() -> None:
    for document in manifests(workload()):
        metadata = document["metadata"]
        assert metadata["name"].startswith("triton-webservice")
        assert metadata["namespace"] == "ml"
        assert metadata["labels"]["app.kubernetes.io/instance"] == "triton-webservice"


def test_the_namespace_of_the_configuration_wins() -> None:
    assert {document["metadata"]["namespace"] for document in manifests(workload(namespace="other"))} == {"other"}


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        (Mode.DIRECT, ["fetch", "server", "gate"]),
        (Mode.MIDDLEWARE, ["fetch", "server", "score", "gate"]),
        (Mode.DEFAULT, ["fetch", "score", "gate"]),
    ],
)
def test_the_mode_chooses_the_containers_and_each_is_up_before_the_next(mode: Mode, names: list[str]) -> None:
    found = containers(manifests(workload(mode)))
    assert list(found) == names
    for name in set(names) - {"fetch", "gate"}:
        assert found[name]["restartPolicy"] == "Always"
        assert "startupProbe" in found[name]


def test_only_the_gate_and_its_probes_leave_the_loopback_address() -> None:
    documents = manifests(workload(Mode.MIDDLEWARE))
    found = containers(documents)
    assert "--http-address=127.0.0.1" in found["server"]["command"]
    assert found["score"]["command"][-1] == "127.0.0.1:5001"
    (port,) = of_kind(documents, "Service")["spec"]["ports"]
    assert port["targetPort"] == 8080
    assert found["gate"]["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 8081}


def test_the_script_gets_the_environment_of_one_machine_and_its_own_wins() -> None:
    load = workload(Mode.MIDDLEWARE, variables={"WORKER_COUNT": "2", "SERVICE_NAME": "mine"}, scoringTimeoutMs=30000)
    variables = {one["name"]: one["value"] for one in containers(manifests(load))["score"]["env"]}
    assert variables["WORKER_COUNT"] == "2"
    assert variables["SERVICE_NAME"] == "mine"
    assert variables["AZUREML_MODEL_DIR"] == "/var/despina/app/azureml-models/digits/3"
    assert variables["AZUREML_ENTRY_SCRIPT"] == "source/score.py"
    assert variables["TRITON_HTTP_URL"] == "localhost:8000"
    assert variables["SCORING_TIMEOUT_MS"] == "30000"
    assert variables["SERVICE_PATH_PREFIX"] == load.spec.base_path
    assert containers(manifests(load))["score"]["workingDir"] == variables["AML_APP_ROOT"]


def test_a_variable_with_dollars_arrives_as_it_is() -> None:
    """`$$` is Kubernetes' way to write `$`, without which `$(NAME)` is replaced and `$$` halved."""
    load = workload(Mode.DEFAULT, variables={"PASSWORD": "a$$b$(SERVICE_NAME)$"})
    variables = {one["name"]: one["value"] for one in containers(manifests(load))["score"]["env"]}
    assert variables["PASSWORD"] == "a$$$$b$$(SERVICE_NAME)$$"


def test_keys_are_in_the_secret_and_nowhere_else() -> None:
    documents = manifests(workload(keys={"primaryKey": "first-key", "secondaryKey": "second-key"}))
    assert of_kind(documents, "Secret")["data"] == {"primaryKey": "Zmlyc3Qta2V5", "secondaryKey": "c2Vjb25kLWtleQ=="}
    others = json.dumps([document for document in documents if document["kind"] != "Secret"])
    assert "first-key" not in others
    assert "second-key" not in others


def test_without_keys_there_is_no_secret() -> None:
    documents = manifests(workload(authEnabled=False))
    assert "Secret" not in {document["kind"] for document in documents}
    volumes = of_kind(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert "keys" not in {volume["name"] for volume in volumes}


@pytest.mark.parametrize(
    ("mode", "container", "requests", "limits"),
    [
        (
            Mode.DIRECT,
            "server",
            {"cpu": "1000m", "memory": "4096Mi", "nvidia.com/gpu": "1"},
            {"cpu": "2000m", "memory": "6144Mi", "nvidia.com/gpu": "1"},
        ),
        (
            Mode.MIDDLEWARE,
            "server",
            {"cpu": "500m", "memory": "2048Mi", "nvidia.com/gpu": "1"},
            {"cpu": "2000m", "memory": "6144Mi", "nvidia.com/gpu": "1"},
        ),
        (Mode.MIDDLEWARE, "score", {"cpu": "500m", "memory": "2048Mi"}, {"cpu": "2000m", "memory": "6144Mi"}),
        (
            Mode.DEFAULT,
            "score",
            {"cpu": "1000m", "memory": "4096Mi", "nvidia.com/gpu": "1"},
            {"cpu": "2000m", "memory": "6144Mi", "nvidia.com/gpu": "1"},
        ),
    ],
)
def test_resources(mode: Mode, container: str, requests: dict[str, str], limits: dict[str, str]) -> None:
    assert containers(manifests(workload(mode, **FULL)))[container]["resources"] == {
        "requests": requests,
        "limits": limits,
    }


def test_without_a_limit_none_is_set() -> None:
    found = containers(manifests(workload()))["server"]["resources"]
    assert found == {"requests": {"cpu": "100m", "memory": "512Mi"}}


def test_without_a_request_none_is_above_the_limit() -> None:
    low = {"containerResourceRequirements": {"cpuLimit": 0.05, "memoryInGBLimit": 0.25}}
    found = containers(manifests(workload(Mode.DIRECT, **low)))["server"]["resources"]
    assert found == {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"cpu": "50m", "memory": "256Mi"}}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"initialDelaySeconds": 100, "periodSeconds": 7, "failureThreshold": 4}, 128),
        ({"initialDelaySeconds": 1}, 31),
        ({"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 1}, 2),
        ({}, 340),
    ],
)
def test_a_container_may_start_until_the_probes_of_the_original_would_have_failed(
    said: dict[str, int], seconds: int
) -> None:
    documents = manifests(workload(Mode.MIDDLEWARE, livenessProbeRequirements=said))
    for name in ("server", "score"):
        startup = containers(documents)[name]["startupProbe"]
        assert 0 <= startup["periodSeconds"] * (startup["failureThreshold"] - 1) - seconds < startup["periodSeconds"]
    # Containers start one after the other, when the models are there.
    assert of_kind(documents, "Deployment")["spec"]["progressDeadlineSeconds"] == 300 + 2 * seconds


def test_probes_are_as_the_configuration_says() -> None:
    found = containers(manifests(workload(**FULL)))
    assert found["server"]["livenessProbe"]["periodSeconds"] == 7
    assert found["gate"]["livenessProbe"]["failureThreshold"] == 4
    assert found["gate"]["livenessProbe"]["timeoutSeconds"] == 3
    assert found["gate"]["readinessProbe"]["failureThreshold"] == 4
    assert found["gate"]["readinessProbe"]["successThreshold"] == 2
    assert found["gate"]["readinessProbe"]["timeoutSeconds"] >= 2 * SECONDS  # it asks two neighbours
    assert "successThreshold" not in found["gate"]["livenessProbe"]


def test_models_come_from_the_claim_or_the_url() -> None:
    claimed, linked = manifests(workload()), manifests(workload(target=TARGETS["url"]))
    volumes = of_kind(claimed, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert volumes[-1]["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert "persistentVolumeClaim" not in json.dumps(of_kind(linked, "Deployment"))
    assert "https://models.example/blobs" in of_kind(linked, "ConfigMap")["data"]["service.json"]


def test_a_new_generation_rolls_out_because_its_configuration_has_another_name() -> None:
    before, after = manifests(workload(generation=2)), manifests(workload(generation=3))
    assert of_kind(before, "ConfigMap")["metadata"]["name"] == "triton-webservice-2"
    assert of_kind(after, "ConfigMap")["metadata"]["name"] == "triton-webservice-3"
    assert of_kind(after, "ConfigMap")["immutable"] is True
    assert of_kind(before, "Deployment")["spec"]["template"] != of_kind(after, "Deployment")["spec"]["template"]


def test_what_is_of_one_generation_says_so() -> None:
    documents = manifests(workload(generation=3))
    template = of_kind(documents, "Deployment")["spec"]["template"]
    for document in (template, of_kind(documents, "ConfigMap")):
        assert document["metadata"]["labels"]["despina/generation"] == "3"
    assert "despina/generation" not in of_kind(documents, "Service")["spec"]["selector"]


def test_a_script_and_a_list_of_files_that_are_too_large_together_are_refused() -> None:
    load = workload(Mode.DEFAULT)
    room = (1 << 20) - len(load.contents.to_text())
    assert manifests(replace(load, source=bytes(room)))
    with pytest.raises(InvalidArgument, match="are 1048577 bytes, and a cluster takes 1048576"):
        manifests(replace(load, source=bytes(room + 1)))


def test_pods_are_replaced_and_drained_one_at_a_time() -> None:
    documents = manifests(workload())
    strategy = of_kind(documents, "Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = of_kind(documents, "PodDisruptionBudget")["spec"]
    # Of one replica too, which a minimum would keep on its node for ever.
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget


def test_the_server_opens_no_port_beside_those_of_http_and_metrics() -> None:
    assert "--allow-grpc=false" in containers(manifests(workload()))["server"]["command"]


def test_prometheus_is_led_to_ports_that_are_open() -> None:
    documents = manifests(workload())
    annotations = of_kind(documents, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    found = containers(documents)
    assert annotations["prometheus.io/port"] in {str(port["containerPort"]) for port in found["gate"]["ports"]}
    assert annotations["prometheus.io/port"] == str(found["gate"]["livenessProbe"]["httpGet"]["port"])
    assert "--metrics-address=0.0.0.0" in found["server"]["command"]
    (metrics,) = found["server"]["ports"]
    assert f"--metrics-port={metrics['containerPort']}" in found["server"]["command"]


def test_an_image_may_need_a_secret() -> None:
    for target, expected in ((TARGET, None), (TARGETS["load balancer"], [{"name": "registry"}])):
        pod = of_kind(manifests(workload(target=target)), "Deployment")["spec"]["template"]["spec"]
        assert pod.get("imagePullSecrets") == expected


def test_a_new_key_rolls_nothing_out() -> None:
    before, after = workload(), replace(workload(), keys=Keys("another", "second-key"))
    assert of_kind(manifests(before), "Deployment") == of_kind(manifests(after), "Deployment")


@pytest.mark.parametrize(
    ("said", "request_seconds"),
    [({}, 60), ({"scoringTimeoutMs": 1}, 30), ({"scoringTimeoutMs": 300_000, "maxQueueWaitMs": 2_000}, 302)],
)
def test_a_pod_has_the_time_to_end_its_requests_and_then_its_server(said: dict[str, int], request_seconds: int) -> None:
    pod = of_kind(manifests(workload(**said)), "Deployment")["spec"]["template"]["spec"]
    spare = pod["terminationGracePeriodSeconds"] - (UNLISTED_SECONDS + request_seconds + Settings().exit_timeout_secs)
    assert 5 <= spare <= 6


def test_ingress_publishes_the_base_path() -> None:
    documents = manifests(workload(target=TARGETS["host and certificate"]))
    spec = of_kind(documents, "Ingress")["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["rules"][0]["host"] == "ml.example"
    (path,) = spec["rules"][0]["http"]["paths"]
    assert path["path"] == "/api/v1/service/triton-webservice"
    assert spec["tls"] == [{"secretName": "certificate", "hosts": ["ml.example"]}]


@pytest.mark.parametrize(("said", "seconds"), [({}, 60.5), ({"scoringTimeoutMs": 90_000, "maxQueueWaitMs": 4_000}, 94)])
def test_the_ingress_leaves_limits_to_the_gate(said: dict[str, int], seconds: float) -> None:
    annotations = of_kind(manifests(workload(**said)), "Ingress")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
    for direction in ("read", "send"):
        assert int(annotations[f"nginx.ingress.kubernetes.io/proxy-{direction}-timeout"]) >= seconds + 4


@pytest.mark.parametrize("target", ["load balancer", "inside only"])
def test_other_exposures_have_no_ingress(target: str) -> None:
    documents = manifests(workload(target=TARGETS[target]))
    assert "Ingress" not in {document["kind"] for document in documents}
    kind = of_kind(documents, "Service")["spec"]["type"]
    assert kind == ("LoadBalancer" if target == "load balancer" else "ClusterIP")


@pytest.mark.parametrize(
    ("mode", "config", "seeing"),
    [
        (Mode.DIRECT, {"gpuCores": 1}, {"server"}),
        (Mode.MIDDLEWARE, {"gpuCores": 1}, {"server"}),
        (Mode.DEFAULT, {"gpuCores": 1}, {"score"}),
        (Mode.MIDDLEWARE, {}, set()),
    ],
)
def test_who_asks_for_no_gpu_sees_none(mode: Mode, config: dict[str, int], seeing: set[str]) -> None:
    """With an image for GPUs, on a node that has some for others."""
    hidden = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}
    found = containers(manifests(workload(mode, **config)))
    assert {name for name, one in found.items() if hidden not in one["env"]} == seeing


def test_what_a_script_says_of_gpus_counts() -> None:
    load = workload(Mode.DEFAULT, variables={"NVIDIA_VISIBLE_DEVICES": "0"})
    said = [one for one in containers(manifests(load))["score"]["env"] if one["name"] == "NVIDIA_VISIBLE_DEVICES"]
    assert [one["value"] for one in said] == ["0"]


def test_gpu_nodes_are_tolerated_only_with_gpus() -> None:
    for config, expected in (({"gpuCores": 1}, True), ({"gpuCores": 0}, False)):
        pod = of_kind(manifests(workload(**config)), "Deployment")["spec"]["template"]["spec"]
        assert ("tolerations" in pod) is expected


def test_pods_meet_the_restricted_pod_security_standard() -> None:
    documents = manifests(workload(Mode.MIDDLEWARE))
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(documents).values():
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_pods_hold_no_more_than_they_need() -> None:
    documents = manifests(workload(Mode.MIDDLEWARE))
    pod = of_kind(documents, "Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for name in ("fetch", "gate"):  # scripts may write where they like
        assert containers(documents)[name]["securityContext"]["readOnlyRootFilesystem"] is True
    (keys,) = (one["secret"] for one in pod["volumes"] if one["name"] == "keys")
    # Root's, and readable for the group that the kubelet gives them.
    assert keys["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
