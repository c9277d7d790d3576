"""Loading the versions of one model side by side, all or nothing (config §4.3)."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from despina.models.candidate import Candidate
from despina.models.failures import LoadFailed, reason_of
from despina.models.loader import LoadedVersion

Load = Callable[[Candidate, int], LoadedVersion]

_log = logging.getLogger("despina.models")


async def load_versions(
    candidate: Candidate, versions: Iterable[int], load: Load, executor: Executor, retries: int
) -> dict[int, LoadedVersion]:
    """Load `versions` in the threads of `executor`, each up to 1 + `retries` times. Raises LoadFailed."""
    order = tuple(versions)
    loop = asyncio.get_running_loop()
    jobs = [loop.run_in_executor(executor, _with_retries, load, candidate, version, retries) for version in order]
    outcomes = dict(zip(order, await asyncio.gather(*jobs), strict=True))
    reasons = {version: outcome for version, outcome in outcomes.items() if isinstance(outcome, str)}
    loaded = {version: outcome for version, outcome in outcomes.items() if not isinstance(outcome, str)}
    del outcomes, jobs
    if reasons:
        await loop.run_in_executor(executor, discard, loaded)
        raise LoadFailed(reasons)
    return loaded


def discard(loaded: dict[int, LoadedVersion]) -> None:
    """Free versions that no model was made of. Blocks."""
    while loaded:
        loaded.popitem()[1].close()


def _with_retries(load: Load, candidate: Candidate, version: int, retries: int) -> LoadedVersion | str:
    """The loaded version, or why there is none. A text and not the exception: its traceback would keep every frame of
    the failed load alive, and with them the sessions."""
    reason = ""
    for attempt in range(retries + 1):
        try:
            return load(candidate, version)
        except (Exception, SystemExit) as error:  # SystemExit would end the server, and with it every other model.
            reason = reason_of(error)
            if attempt < retries:
                _log.warning("trying again to load '%s' version %d: %s", candidate.name, version, reason)
    return reason
