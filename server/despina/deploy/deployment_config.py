"""`deploymentconfig.json`: on what, how big, with which keys and limits a service runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from despina.deploy.value_kinds import KINDS, fits
from despina.errors import InvalidArgument

COMPUTE_TYPES = ("local", "aks", "aci", "aksendpoint")

CLOUD_ONLY = frozenset(
    {"location", "sslEnabled", "sslCertificate", "sslKey", "cname", "dnsNameLabel", "vaultBaseUrl", "keyName"}
    | {"keyVersion", "vnetName", "subnetName", "versionName", "trafficPercentile"}
)


def _said(path: str, kind: str) -> Any:
    """A field: where it is in the file, dotted, and what it may be, one of KINDS."""
    return field(default=None, metadata={"path": path, "kind": kind})


@dataclass(frozen=True, slots=True)
class DeploymentConfig:
    """None is "nothing said". Times are in the unit of their name, memory in GB."""

    compute_type: str = "local"
    port: int | None = _said("port", "port")
    compute_target_name: str | None = _said("computeTargetName", "text")
    namespace: str | None = _said("namespace", "namespace")
    auth_enabled: bool | None = _said("authEnabled", "bool")
    token_auth_enabled: bool | None = _said("tokenAuthEnabled", "bool")
    enable_app_insights: bool | None = _said("appInsightsEnabled", "bool")
    cpu_cores: float | None = _said("containerResourceRequirements.cpu", "positive")
    cpu_cores_limit: float | None = _said("containerResourceRequirements.cpuLimit", "positive")
    memory_gb: float | None = _said("containerResourceRequirements.memoryInGB", "positive")
    memory_gb_limit: float | None = _said("containerResourceRequirements.memoryInGBLimit", "positive")
    gpu_cores: int | None = _said("gpuCores", "count")
    num_replicas: int | None = _said("numReplicas", "positive count")
    autoscale_enabled: bool | None = _said("autoScaler.autoscaleEnabled", "bool")
    autoscale_min_replicas: int | None = _said("autoScaler.minReplicas", "positive count")
    autoscale_max_replicas: int | None = _said("autoScaler.maxReplicas", "positive count")
    autoscale_refresh_seconds: float | None = _said("autoScaler.refreshPeriodInSeconds", "positive")
    autoscale_target_utilization: float | None = _said("autoScaler.targetUtilization", "positive")
    collect_model_data: bool | None = _said("dataCollection.storageEnabled", "bool")
    scoring_timeout_ms: int | None = _said("scoringTimeoutMs", "positive count")
    replica_max_concurrent_requests: int | None = _said("maxConcurrentRequestsPerContainer", "positive count")
    max_request_wait_time: int | None = _said("maxQueueWaitMs", "positive count")
    primary_key: str | None = _said("keys.primaryKey", "key")
    secondary_key: str | None = _said("keys.secondaryKey", "key")
    period_seconds: int | None = _said("livenessProbeRequirements.periodSeconds", "positive count")
    initial_delay_seconds: int | None = _said("livenessProbeRequirements.initialDelaySeconds", "positive count")
    timeout_seconds: int | None = _said("livenessProbeRequirements.timeoutSeconds", "positive count")
    success_threshold: int | None = _said("livenessProbeRequirements.successThreshold", "positive count")
    failure_threshold: int | None = _said("livenessProbeRequirements.failureThreshold", "positive count")

    @property
    def keyed(self) -> bool:
        """Whether requests need a key: on by default in a cluster, off on this machine."""
        return self.compute_type == "aks" if self.auth_enabled is None else self.auth_enabled

    def to_json(self) -> dict[str, Any]:
        """The file that says the same."""
        document: dict[str, Any] = {"computeType": self.compute_type}
        for one in FIELDS:
            value = getattr(self, one.name)
            if value is not None:
                *above, leaf = one.path.split(".")
                place = document
                for key in above:
                    place = place.setdefault(key, {})
                place[leaf] = value
        return document


@dataclass(frozen=True, slots=True)
class Field:
    """A field of DeploymentConfig: `name` in Python, `path` in the file, `kind` one of KINDS."""

    name: str
    path: str
    kind: str


FIELDS = tuple(Field(one.name, **one.metadata) for one in fields(DeploymentConfig) if one.metadata)


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """A configuration without errors, and what its author should know."""

    config: DeploymentConfig
    warnings: tuple[str, ...] = ()


def parse_deployment_config(document: Mapping[str, Any], where: str = "deployment configuration") -> CheckedConfig:
    """Reads the content of a file, and checks it. Raises InvalidArgument: all that is wrong, in one message."""
    config, problems = _read(document)
    problems += check_deployment_config(config)
    if problems:
        raise InvalidArgument(f"{where}: " + "; ".join(problems))
    warnings = list(_ignored(document))
    if config.enable_app_insights or config.collect_model_data:
        warnings.append("appInsightsEnabled and dataCollection are ignored: only the cloud has a use for them")
    return CheckedConfig(config, tuple(f"{where}: {warning}" for warning in warnings))


def check_deployment_config(config: DeploymentConfig) -> list[str]:
    """What is wrong with a configuration, however it was made."""
    return [*_wrong_values(config), *_contradictions(config)]


def override(config: DeploymentConfig, given: Mapping[str, Any]) -> CheckedConfig:
    """The configuration with values that were given beside the file; those win, and the user is told. Raises
    InvalidArgument: all that is wrong then, in one message."""
    values = {name: value for name, value in given.items() if value is not None}
    changed = [name for name, value in values.items() if getattr(config, name) not in (None, value)]
    merged = replace(config, **values)
    if problems := check_deployment_config(merged):
        raise InvalidArgument("; ".join(problems))
    return CheckedConfig(merged, tuple(f"{name}: the flag wins over the configuration file" for name in changed))


def _read(document: Mapping[str, Any]) -> tuple[DeploymentConfig, list[str]]:
    given = document.get("computeType")
    kind = given.lower() if isinstance(given, str) else ""
    problems = []
    if given is None:
        problems.append(f"computeType is missing; expected one of {', '.join(COMPUTE_TYPES)}")
    elif kind not in COMPUTE_TYPES:
        problems.append(f"unknown deployment type {given!r}; expected one of {', '.join(COMPUTE_TYPES)}")
    for group in {one.path.partition(".")[0] for one in FIELDS if "." in one.path}:
        if not isinstance(document.get(group), dict | None):
            problems.append(f"{group}: expected an object, got {document[group]!r}")
    values = {one.name: _find(document, one.path) for one in FIELDS}
    return replace(DeploymentConfig(kind or "local"), **values), problems


def _find(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _wrong_values(config: DeploymentConfig) -> Iterator[str]:
    for one in FIELDS:
        value = getattr(config, one.name)
        if value is not None and not fits(value, one.kind):
            yield f"{one.path}: expected {KINDS[one.kind]}, got {value!r}"


def _contradictions(config: DeploymentConfig) -> Iterator[str]:
    for name, request, limit in (
        ("cpu", config.cpu_cores, config.cpu_cores_limit),
        ("memoryInGB", config.memory_gb, config.memory_gb_limit),
    ):
        if _numbers(request, limit) and request > limit:  # type: ignore[operator]
            yield f"containerResourceRequirements: {name} {request} is above its limit {limit}"
    yield from _autoscale(config)
    if config.auth_enabled and config.token_auth_enabled:
        yield "authEnabled and tokenAuthEnabled exclude each other"
    if config.compute_type in ("aci", "aksendpoint"):
        yield f"computeType {config.compute_type} needs the cloud; use local, or aks with an attached cluster"
    if config.token_auth_enabled:
        yield "tokenAuthEnabled needs the cloud's identity service; use authEnabled"


def _autoscale(config: DeploymentConfig) -> Iterator[str]:
    least, most = config.autoscale_min_replicas, config.autoscale_max_replicas
    if config.autoscale_enabled:
        if config.num_replicas is not None:
            yield "numReplicas and autoScaler.autoscaleEnabled true exclude each other"
        if _numbers(least, most) and least > most:  # type: ignore[operator]
            yield f"autoScaler: minReplicas {least} is above maxReplicas {most}"
        return
    if config.autoscale_enabled is False and config.num_replicas is None:
        yield "autoScaler.autoscaleEnabled false needs numReplicas"
    named = (least, most, config.autoscale_refresh_seconds, config.autoscale_target_utilization)
    if any(value is not None for value in named):
        yield "autoScaler: its fields need autoscaleEnabled true"


def _numbers(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _ignored(document: Mapping[str, Any]) -> Iterator[str]:
    known = {one.path for one in FIELDS}
    groups = {path.partition(".")[0] for path in known if "." in path}
    for key, value in document.items():
        paths = [f"{key}.{one}" for one in value] if key in groups and isinstance(value, dict) else [key]
        for path in paths:
            if path in CLOUD_ONLY:
                yield f"{path} is ignored: only the cloud has a use for it"
            elif path not in known and path not in ("computeType", *groups):
                yield f"unknown key {path} is ignored"
