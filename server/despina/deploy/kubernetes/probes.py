"""When a container counts as started, ready, alive.

`livenessProbeRequirements` is all that a deployment configuration can say. In the original a container that does not
start is ended when so many liveness probes as it says have failed, the first of them after the initial delay. Here a
startup probe waits as long as that, and no longer than needed.
"""

from math import ceil

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.kubernetes.pod.places import METRICS_PORT, PROBE_PORT, SCORE_PORT, SERVER_PORT
from despina.deploy.kubernetes.workload import Document

START_SECONDS = 310
STARTUP_PERIOD = 5
PERIOD_SECONDS = 10
TIMEOUT_SECONDS = 2
FAILURES = 3
PROBE_SECONDS = 10


def server_probes(config: DeploymentConfig) -> Document:
    """Started when its models are ready. Alive while its event loop answers: the metrics port is the one it opens."""
    return {
        "startupProbe": _startup(config, SERVER_PORT, "/v2/health/ready"),
        "livenessProbe": _liveness(config, {"httpGet": {"path": "/metrics", "port": METRICS_PORT}}),
    }


def score_probes(config: DeploymentConfig) -> Document:
    """Started when init() has returned. No liveness probe: busy workers answer none, and gunicorn ends hanging ones."""
    return {"startupProbe": _startup(config, SCORE_PORT, "/")}


def gate_probes(config: DeploymentConfig) -> Document:
    live: Document = {"httpGet": {"path": "/live", "port": PROBE_PORT}}
    return {
        "startupProbe": {**live, "periodSeconds": 1, "failureThreshold": 30},
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": PROBE_PORT},
            "periodSeconds": 5,
            # Enough for the gate to ask each of its neighbours.
            "timeoutSeconds": PROBE_SECONDS,
            "successThreshold": config.success_threshold or 1,
            "failureThreshold": config.failure_threshold or FAILURES,
        },
        "livenessProbe": _liveness(config, live),
    }


def startup_seconds(config: DeploymentConfig) -> int:
    """How long one container may take until it is ready."""
    failing = (config.period_seconds or PERIOD_SECONDS) * (config.failure_threshold or FAILURES)
    return (config.initial_delay_seconds or START_SECONDS) + failing


def _startup(config: DeploymentConfig, port: int, path: str) -> Document:
    return {
        "exec": {"command": ["python", "-m", "despina.deploy.kubernetes.pod.probe", str(port), path]},
        "periodSeconds": STARTUP_PERIOD,
        "timeoutSeconds": PROBE_SECONDS,
        # The first is made at once.
        "failureThreshold": ceil(startup_seconds(config) / STARTUP_PERIOD) + 1,
    }


def _liveness(config: DeploymentConfig, asked: Document) -> Document:
    # successThreshold of a liveness probe can only be 1.
    return {
        **asked,
        "periodSeconds": config.period_seconds or PERIOD_SECONDS,
        "timeoutSeconds": config.timeout_seconds or TIMEOUT_SECONDS,
        "failureThreshold": config.failure_threshold or FAILURES,
    }
