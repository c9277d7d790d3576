"""The limits of a service."""

from dataclasses import dataclass


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
