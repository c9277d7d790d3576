"""The permits of a model's instances, where a rate limiter has a say in when they run."""

from collections.abc import Mapping

from despina.scheduling.rate_limiter import Permit, RateLimiter
from despina.scheduling.runner import InstanceRunner


class Permits:
    """Between a batcher and the rate limiter. The batcher owns the list of idle instances; this one says which of them
    may run. While a batch waits, all idle instances stand in the limiter's line: any of them will do."""

    def __init__(self, limiter: RateLimiter, permits: Mapping[InstanceRunner, Permit]) -> None:
        self._limiter = limiter
        self._permits = permits

    def next(self, idle: list[InstanceRunner]) -> InstanceRunner | None:
        """An idle instance that may run now; None when all have to wait. Asking twice gives the same one."""
        permits = self._permits
        for runner in sorted(idle, key=lambda runner: (not permits[runner].held, permits[runner].rank)):
            if self._limiter.acquire(permits[runner]):
                return runner
        return None

    def give_up(self, idle: list[InstanceRunner]) -> None:
        """There is nothing to run any more."""
        self._limiter.give_up(*[self._permits[runner] for runner in idle])

    def finished(self, runner: InstanceRunner, again: bool = False) -> None:
        """An instance has run; `again`: there is more to run."""
        self._limiter.release(self._permits[runner], again)

    def leave(self) -> None:
        """The model is gone."""
        self._limiter.leave(self._permits.values())
