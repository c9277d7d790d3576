"""The fields of a deployment configuration: where each is in the file, what it is called in Python, what it may be."""

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(\.{LABEL.pattern})*")

COMPUTE_TYPES = ("local", "aks", "aci", "aksendpoint")


@dataclass(frozen=True, slots=True)
class Field:
    """`path` in the file, dotted; `name` in the SDK; `kind` one of KINDS."""

    path: str
    name: str
    kind: str


FIELDS = (
    Field("port", "port", "port"),
    Field("computeTargetName", "compute_target_name", "text"),
    Field("namespace", "namespace", "namespace"),
    Field("authEnabled", "auth_enabled", "bool"),
    Field("tokenAuthEnabled", "token_auth_enabled", "bool"),
    Field("appInsightsEnabled", "enable_app_insights", "bool"),
    Field("containerResourceRequirements.cpu", "cpu_cores", "positive"),
    Field("containerResourceRequirements.cpuLimit", "cpu_cores_limit", "positive"),
    Field("containerResourceRequirements.memoryInGB", "memory_gb", "positive"),
    Field("containerResourceRequirements.memoryInGBLimit", "memory_gb_limit", "positive"),
    Field("gpuCores", "gpu_cores", "count"),
    Field("numReplicas", "num_replicas", "positive count"),
    Field("autoScaler.autoscaleEnabled", "autoscale_enabled", "bool"),
    Field("autoScaler.minReplicas", "autoscale_min_replicas", "positive count"),
    Field("autoScaler.maxReplicas", "autoscale_max_replicas", "positive count"),
    Field("autoScaler.refreshPeriodInSeconds", "autoscale_refresh_seconds", "positive"),
    Field("autoScaler.targetUtilization", "autoscale_target_utilization", "positive"),
    Field("dataCollection.storageEnabled", "collect_model_data", "bool"),
    Field("scoringTimeoutMs", "scoring_timeout_ms", "positive count"),
    Field("maxConcurrentRequestsPerContainer", "replica_max_concurrent_requests", "positive count"),
    Field("maxQueueWaitMs", "max_request_wait_time", "positive count"),
    Field("keys.primaryKey", "primary_key", "key"),
    Field("keys.secondaryKey", "secondary_key", "key"),
    Field("livenessProbeRequirements.periodSeconds", "period_seconds", "positive count"),
    Field("livenessProbeRequirements.initialDelaySeconds", "initial_delay_seconds", "positive count"),
    Field("livenessProbeRequirements.timeoutSeconds", "timeout_seconds", "positive count"),
    Field("livenessProbeRequirements.successThreshold", "success_threshold", "positive count"),
    Field("livenessProbeRequirements.failureThreshold", "failure_threshold", "positive count"),
)

CLOUD_ONLY = frozenset(
    {"location", "sslEnabled", "sslCertificate", "sslKey", "cname", "dnsNameLabel", "vaultBaseUrl", "keyName"}
    | {"keyVersion", "vnetName", "subnetName", "versionName", "trafficPercentile"}
)

KINDS = {
    "text": "text",
    "key": "printable ASCII without blanks",
    "bool": "true or false",
    "port": "an integer from 1 to 65535",
    "namespace": "a DNS label: up to 63 lower-case letters, digits and '-', beginning and ending without '-'",
    "positive": "a number above 0",
    "count": "an integer from 0 up",
    "positive count": "an integer above 0",
}


def fits(value: Any, kind: str) -> bool:
    """Whether a JSON value is what `KINDS[kind]` says."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or (isinstance(value, float) and isfinite(value))
    match kind:
        case "text":
            return isinstance(value, str) and value != ""
        case "key":
            return isinstance(value, str) and is_key(value)
        case "bool":
            return isinstance(value, bool)
        case "port":
            return whole and 1 <= value <= 65535
        case "namespace":
            return isinstance(value, str) and is_label(value)
        case "positive":
            return number and value > 0
        case "count":
            return whole and value >= 0
        case _:
            return whole and value > 0


def is_key(text: str) -> bool:
    """Whether a header can carry it, as one word."""
    return text != "" and text.isascii() and text.isprintable() and " " not in text


def is_label(text: str) -> bool:
    """A DNS label."""
    return len(text) <= 63 and LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """A DNS name as Kubernetes means it (RFC 1123): parts like labels, between dots, of any length."""
    return len(text) <= 253 and SUBDOMAIN.fullmatch(text) is not None
