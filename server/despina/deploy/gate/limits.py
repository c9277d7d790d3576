"""The limits of a service."""

from dataclasses import dataclass

from despina.deploy.deployment_config import DeploymentConfig

QUEUE_MS = 500


@dataclass(frozen=True, slots=True)
class GateLimits:
    """None is "no limit". Times in seconds, bodies in bytes.

    `idle_seconds` is how long a connection may rest between requests, and a body or an answer on its way.
    """

    concurrent: int | None = None
    queue_seconds: float = 0.5
    answer_seconds: float | None = None
    body_bytes: int = 1 << 30
    idle_seconds: float = 75.0


def limits_of(said: DeploymentConfig, answer_ms: int | None = None) -> GateLimits:
    """Those of a deployment configuration. `answer_ms`: what an answer may take where it does not say so."""
    longest_ms = said.scoring_timeout_ms or answer_ms
    return GateLimits(
        concurrent=said.replica_max_concurrent_requests,
        queue_seconds=(said.max_request_wait_time or QUEUE_MS) / 1000,
        answer_seconds=None if longest_ms is None else longest_ms / 1000,
    )
