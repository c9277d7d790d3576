"""The Helm chart, rendered by Go's own text/template and checked against the schemas."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from despina.cli.settings_from_flags import read_command_line

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "despina"
TEMPLATES = sorted((CHART / "templates").glob("*.yaml"))

# A process of its own: the renderer is a Go library, and Go's runtime stays in the process that loads it.
RENDER = """
import json, sys
from pathlib import Path
from go_template import render
for file in sys.argv[1:]:
    print(json.dumps(render(Path(file), json.loads(Path("values.json").read_text())).decode()))
"""

Values = dict[str, Any]
Document = dict[str, Any]


def render(folder: Path, changes: Values, templates: list[Path] | None = None) -> dict[str, str]:
    """Name of a template → its text. `changes` are values by dotted path.

    Unlike Helm's, this renderer has no `include`, and a value that values.yaml does not name is an error.
    """
    pytest.importorskip("go_template", reason="py-go-template is built for Linux on x86-64 only")
    names = []
    for template in templates or TEMPLATES:
        text = (CHART / "templates" / "_helpers.tpl").read_text() + template.read_text()
        (folder / template.name).write_text(text)
        names.append(template.name)
    (folder / "values.json").write_text(json.dumps(context(changes)))
    words = [sys.executable, "-c", RENDER, *names]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:  # the library ends its process when a template fails
        raise ValueError(done.stderr)
    return dict(zip(names, map(json.loads, done.stdout.splitlines()), strict=True))


def context(changes: Values) -> Document:
    values = copy.deepcopy(yaml.safe_load((CHART / "values.yaml").read_text()))
    for path, value in changes.items():
        *above, leaf = path.split(".")
        place = values
        for key in above:
            place = place[key]
        assert leaf in place, path
        place[leaf] = value
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    return {
        "Values": values,
        "Chart": {"Name": chart["name"], "Version": chart["version"], "AppVersion": chart["appVersion"]},
        "Release": {"Name": "fraud", "Namespace": "ml", "Service": "Helm"},
    }


def documents(folder: Path, changes: Values) -> dict[str, Document]:
    found = [yaml.safe_load(text) for text in render(folder, changes).values()]
    return {document["kind"]: document for document in found if document is not None}


EVERYTHING: Values = {
    "fullnameOverride": "scoring",
    "image.tag": "9",
    "imagePullSecrets": [{"name": "registry"}],
    "models.subPath": "repository",
    "flags": {"exit-timeout-secs": 20, "log-verbose": 1, "strict-readiness": False},
    "env": [{"name": "A", "value": "1"}],
    "extraVolumes": [{"name": "cache", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    "resources": {"limits": {"nvidia.com/gpu": 1}},
    "service.annotations": {"a": "b"},
    "ingress.enabled": True,
    "ingress.className": "nginx",
    "ingress.host": "ml.example",
    "ingress.tlsSecret": "certificate",
    "metrics.serviceMonitor.enabled": True,
    "metrics.serviceMonitor.labels": {"release": "prometheus"},
    "autoscaling.enabled": True,
    "autoscaling.pendingRequests": 8,
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    ],
    "podAnnotations": {"c": "d"},
    "podLabels": {"e": "f"},
}


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, {"Deployment", "Service", "PodDisruptionBudget"}),
        ({"podDisruptionBudget.enabled": False, "metrics.annotations": False}, {"Deployment", "Service"}),
        (
            {"autoscaling.enabled": True, "ingress.enabled": True},
            {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress"},
        ),
        (
            EVERYTHING,
            {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress", "ServiceMonitor"},
        ),
    ],
    ids=["defaults", "least", "scaled and published", "everything"],
)
def test_rendered_manifests_follow_the_schemas(tmp_path: Path, changes: Values, kinds: set[str]) -> None:
    found = documents(tmp_path, changes)
    assert set(found) == kinds
    found.pop("ServiceMonitor", None)  # of the Prometheus operator, no part of Kubernetes
    for document in found.values():
        for version in ("1.25", "1.33", "1.37"):
            kubernetes_validate.validate(document, version, strict=True)


def test_every_value_arrives(tmp_path: Path) -> None:
    found = documents(tmp_path, EVERYTHING)
    pod = found["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "despina:9"
    assert container["resources"] == {"limits": {"nvidia.com/gpu": 1}}
    assert container["volumeMounts"][0]["subPath"] == "repository"
    assert container["env"] == [{"name": "A", "value": "1"}]
    assert pod["metadata"]["labels"]["e"] == "f"
    assert pod["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert "replicas" not in found["Deployment"]["spec"]
    assert [metric["type"] for metric in found["HorizontalPodAutoscaler"]["spec"]["metrics"]] == ["Resource", "Pods"]
    assert found["Ingress"]["spec"]["tls"] == [{"secretName": "certificate", "hosts": ["ml.example"]}]
    assert found["ServiceMonitor"]["metadata"]["labels"]["release"] == "prometheus"
    assert {document["metadata"]["name"] for document in found.values()} == {"scoring"}


def test_selectors_find_the_pods(tmp_path: Path) -> None:
    found = documents(tmp_path, {})
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert found["Service"]["spec"]["selector"].items() <= labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels


@pytest.mark.parametrize("changes", [{}, EVERYTHING])
def test_the_server_understands_its_flags(tmp_path: Path, changes: Values) -> None:
    (container,) = documents(tmp_path, changes)["Deployment"]["spec"]["template"]["spec"]["containers"]
    command, *flags = container["args"]
    settings = read_command_line(flags).settings
    assert command == "serve"
    assert settings.model_repository == (Path("/models"),)
    assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (8000, 8001, 8002)


def test_the_service_leads_to_every_port_of_the_container(tmp_path: Path) -> None:
    found = documents(tmp_path, {"service.port": 80, "service.grpcPort": 9001})
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "http": 8000,
        "grpc": 8001,
        "metrics": 8002,
    }
    ports = found["Service"]["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in ports} == {"http": 80, "grpc": 9001, "metrics": 8002}


@pytest.mark.parametrize(
    ("value", "served"), [(False, False), ("false", False), (0, False), ("off", False), (True, True)]
)
def test_there_is_no_port_for_grpc_where_it_is_not_served(tmp_path: Path, value: bool | str, served: bool) -> None:
    found = documents(tmp_path, {"flags": {"allow-grpc": value}})
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert read_command_line(container["args"][1:]).settings.allow_grpc is served
    for ports in (container["ports"], found["Service"]["spec"]["ports"]):
        assert ("grpc" in [port["name"] for port in ports]) is served


def test_a_list_gives_a_flag_several_times(tmp_path: Path) -> None:
    changes = {"flags": {"model-control-mode": "explicit", "load-model": ["digits", "simple"]}}
    (container,) = documents(tmp_path, changes)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][-3:] == ["--load-model=digits", "--load-model=simple", "--model-control-mode=explicit"]


def test_numbers_arrive_as_they_were_written(tmp_path: Path) -> None:
    """Helm reads them as floating point."""
    flags = {"backend-config": ["default,a=b", 12345678], "http-max-input-size": 67108864, "strict-readiness": False}
    (container,) = documents(tmp_path, {"image.tag": 1234567, "flags": flags})["Deployment"]["spec"]["template"][
        "spec"
    ]["containers"]
    assert container["image"] == "despina:1234567"
    assert container["args"][-4:] == [
        "--backend-config=default,a=b",
        "--backend-config=12345678",
        "--http-max-input-size=67108864",
        "--strict-readiness=false",
    ]


@pytest.mark.parametrize(
    ("flags", "scheme"), [({}, "HTTP"), (None, "HTTP"), ({"http-tls-cert": "/tls/tls.crt"}, "HTTPS")]
)
def test_probes_speak_as_the_server_does(tmp_path: Path, flags: Values | None, scheme: str) -> None:
    (container,) = documents(tmp_path, {"flags": flags})["Deployment"]["spec"]["template"]["spec"]["containers"]
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    assert {container[probe]["httpGet"]["scheme"] for probe in probes} == {scheme}


@pytest.mark.parametrize(
    "flags",
    [
        {"http-tls-cert": "/tls/tls.crt", "http-tls-client-ca": "/tls/ca.crt"},
        {"http-restricted-api": "health,metadata:key=value"},
        {"http-restricted-api": ["model-repository:key=value", "health:key=value"]},
    ],
)
def test_probes_ask_for_no_more_than_the_port_where_the_kubelet_would_be_refused(tmp_path: Path, flags: Values) -> None:
    """It opens when the models are ready."""
    found = documents(tmp_path, {"flags": flags})["Deployment"]
    kubernetes_validate.validate(found, "1.33", strict=True)
    (container,) = found["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["tcpSocket"] == {"port": "http"}
        assert "httpGet" not in container[probe]


def test_probes_ask_a_server_that_restricts_other_apis(tmp_path: Path) -> None:
    flags = {"http-restricted-api": "model-repository:key=value"}
    (container,) = documents(tmp_path, {"flags": flags})["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["startupProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


@pytest.mark.parametrize(("seconds", "probes"), [(600, 121), (3, 2)])
def test_models_have_their_time_to_load(tmp_path: Path, seconds: int, probes: int) -> None:
    changes = {"probes.startupSeconds": seconds}
    (container,) = documents(tmp_path, changes)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["startupProbe"]["failureThreshold"] == probes


def test_an_autoscaler_without_a_metric_is_refused(tmp_path: Path) -> None:
    changes = {"autoscaling.enabled": True, "autoscaling.cpuUtilization": 0}
    with pytest.raises(ValueError, match="set cpuUtilization or pendingRequests above 0"):
        render(tmp_path, changes, [CHART / "templates" / "hpa.yaml"])


def test_notes(tmp_path: Path) -> None:
    notes = render(tmp_path, {}, [CHART / "templates" / "NOTES.txt"])["NOTES.txt"]
    assert "http://fraud.ml.svc:8000" in notes
    assert "by gRPC at port 8001" in notes


def test_the_chart_has_the_version_of_the_package() -> None:
    pyproject = (CHART.parents[2] / "pyproject.toml").read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in pyproject
