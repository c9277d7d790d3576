import json
import re
from typing import Any

import pytest

from despina.deploy.deployment_config import DeploymentConfig, override, parse_deployment_config
from despina.errors import InvalidArgument

FULL: dict[str, Any] = {
    "computeType": "AKS",
    "namespace": "ml",
    "authEnabled": True,
    "containerResourceRequirements": {"cpu": 1, "cpuLimit": 2, "memoryInGB": 4, "memoryInGBLimit": 6},
    "gpuCores": 1,
    "autoScaler": {
        "autoscaleEnabled": True,
        "minReplicas": 1,
        "maxReplicas": 10,
        "refreshPeriodInSeconds": 1,
        "targetUtilization": 70,
    },
    "scoringTimeoutMs": 60000,
    "maxConcurrentRequestsPerContainer": 64,
    "maxQueueWaitMs": 500,
    "keys": {"primaryKey": "a", "secondaryKey": "b"},
    "livenessProbeRequirements": {
        "periodSeconds": 10,
        "initialDelaySeconds": 310,
        "timeoutSeconds": 2,
        "successThreshold": 1,
        "failureThreshold": 3,
    },
}


def test_every_field_is_read_and_written_back() -> None:
    checked = parse_deployment_config(FULL)
    assert checked.warnings == ()
    assert checked.config.autoscale_target_utilization == 70
    assert checked.config.to_json() == {**FULL, "computeType": "aks"}


def test_the_file_of_the_page() -> None:
    document = {"computeType": "aks", "containerResourceRequirements": {"cpu": 1, "memoryInGB": 4}, "gpuCores": 1}
    config = parse_deployment_config(document).config
    assert (config.cpu_cores, config.memory_gb, config.gpu_cores) == (1, 4, 1)
    assert config.keyed


@pytest.mark.parametrize(
    ("compute_type", "auth", "keyed"),
    [("aks", None, True), ("aks", False, False), ("local", None, False), ("local", True, True)],
)
def test_keys_are_on_in_a_cluster_and_off_on_this_machine_unless_said(
    compute_type: str, auth: bool | None, keyed: bool
) -> None:
    assert DeploymentConfig(compute_type, auth_enabled=auth).keyed is keyed


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "computeType is missing; expected one of local, aks"),
        ({"computeType": "vm"}, "unknown deployment type 'vm'; expected one of local, aks"),
        ({"computeType": "aci"}, "computeType aci needs the cloud"),
        ({"computeType": "local", "port": 0}, "port: expected an integer from 1 to 65535, got 0"),
        ({"computeType": "local", "port": "80"}, "port: expected an integer from 1 to 65535, got '80'"),
        ({"computeType": "local", "port": True}, "port: expected an integer"),
        ({"computeType": "aks", "gpuCores": -1}, "gpuCores: expected an integer from 0 up, got -1"),
        ({"computeType": "aks", "numReplicas": 0}, "numReplicas: expected an integer above 0, got 0"),
        ({"computeType": "aks", "namespace": "Ml"}, "namespace: expected a DNS label"),
        ({"computeType": "aks", "authEnabled": "yes"}, "authEnabled: expected true or false, got 'yes'"),
        ({"computeType": "aks", "autoScaler": 1}, "autoScaler: expected an object, got 1"),
        (
            {"computeType": "aks", "containerResourceRequirements": {"cpu": 2, "cpuLimit": 1}},
            "cpu 2 is above its limit 1",
        ),
        (
            {"computeType": "aks", "autoScaler": {"autoscaleEnabled": True}, "numReplicas": 2},
            "numReplicas and autoScaler.autoscaleEnabled true exclude each other",
        ),
        ({"computeType": "aks", "autoScaler": {"autoscaleEnabled": False}}, "autoscaleEnabled false needs numReplicas"),
        ({"computeType": "aks", "autoScaler": {"minReplicas": 1}}, "its fields need autoscaleEnabled true"),
        (
            {"computeType": "aks", "autoScaler": {"autoscaleEnabled": True, "minReplicas": 3, "maxReplicas": 2}},
            "minReplicas 3 is above maxReplicas 2",
        ),
        ({"computeType": "aks", "tokenAuthEnabled": True}, "tokenAuthEnabled needs the cloud's identity service"),
        (
            {"computeType": "aks", "authEnabled": True, "tokenAuthEnabled": True},
            "authEnabled and tokenAuthEnabled exclude each other",
        ),
    ],
)
def test_mistakes_are_named(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_deployment_config(document, "dc.json")
    assert caught.value.message.startswith("dc.json: ")
    assert message in caught.value.message


def test_all_mistakes_come_in_one_message() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_deployment_config({"port": 0, "gpuCores": -1, "scoringTimeoutMs": 0})
    assert caught.value.message.count(";") >= 3


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ({"colour": 1}, "dc.json: unknown key colour is ignored"),
        ({"autoScaler": {"autoscaleEnabled": True, "speed": 1}}, "dc.json: unknown key autoScaler.speed is ignored"),
        ({"containerResourceRequirements": {"gpu": 1}}, "unknown key containerResourceRequirements.gpu is ignored"),
        ({"sslEnabled": True}, "sslEnabled is ignored: only the cloud has a use for it"),
        ({"appInsightsEnabled": True}, "dc.json: appInsightsEnabled and dataCollection are ignored"),
        ({"dataCollection": {"storageEnabled": True}}, "dc.json: appInsightsEnabled and dataCollection are ignored"),
    ],
)
def test_what_is_legal_but_worth_a_word(more: dict[str, Any], warning: str) -> None:
    (told,) = parse_deployment_config({"computeType": "aks", **more}, "dc.json").warnings
    assert warning in told


def test_flags_win_over_the_file_and_say_so() -> None:
    config = DeploymentConfig("local", port=6789)
    checked = override(config, {"port": 6790, "gpu_cores": 1, "namespace": None})
    assert (checked.config.port, checked.config.gpu_cores) == (6790, 1)
    assert checked.warnings == ("port: the flag wins over the configuration file",)
    assert override(config, {"port": 6789}).warnings == ()
    with pytest.raises(InvalidArgument, match="port: expected"):
        override(config, {"port": 70000})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"numReplicas": 1e999}', "numReplicas: expected an integer above 0, got inf"),
        ('{"containerResourceRequirements": {"cpu": NaN}}', "cpu: expected a number above 0, got nan"),
        ('{"port": 8080.0}', "port: expected an integer from 1 to 65535, got 8080.0"),
        ('{"scoringTimeoutMs": 1000.0}', "scoringTimeoutMs: expected an integer above 0, got 1000.0"),
        ('{"keys": {"primaryKey": " "}}', "keys.primaryKey: expected printable ASCII without blanks, got ' '"),
        ('{"keys": {"secondaryKey": "a\\n"}}', "keys.secondaryKey: expected printable ASCII without blanks"),
    ],
)
def test_values_that_would_fail_later_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        parse_deployment_config({"computeType": "aks", **json.loads(text)})
