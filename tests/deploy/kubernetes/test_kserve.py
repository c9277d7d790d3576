"""KServe's own schemas are not Kubernetes'; what is in them is: containers."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from despina.cli.settings_from_flags import read_command_line

FOLDER = Path(__file__).parents[3] / "deploy" / "kserve"


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return document


def container() -> dict[str, Any]:
    (one,) = read("servingruntime.yaml")["spec"]["containers"]
    assert isinstance(one, dict)
    return one


def test_the_runtimes_container_is_one() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container()]}}
    kubernetes_validate.validate(pod, "1.33", strict=True)
    assert container()["name"] == "kserve-container"


def test_the_server_understands_its_flags() -> None:
    command, *flags = container()["args"]
    settings = read_command_line([flag.replace("{{.Name}}", "digits") for flag in flags]).settings
    assert command == "serve"
    assert settings.model_repository == (Path("/mnt/models"),)
    assert (settings.model_name, settings.kserve) == ("digits", True)
    assert (settings.http_port, settings.grpc_port) == (8080, 9000)
    (port,) = container()["ports"]
    assert {container()[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        port["containerPort"]
    }


def test_the_example_uses_the_runtime_and_a_format_it_has() -> None:
    runtime, example = read("servingruntime.yaml"), read("inferenceservice.yaml")
    model = example["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    formats = [(one["name"], one["version"]) for one in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
