"""An exception that nobody foresaw, a mistake of ours or of a backend, while requests are under way. Their clients must
not wait for ever because of it, nor must the instance be taken for busy."""

import logging
from collections.abc import Iterable

from despina.errors import Internal
from despina.scheduling.pending import Pending
from despina.telemetry.statistics import ModelStatistics

_log = logging.getLogger(__name__)


def unforeseen(error: Exception) -> Internal:
    """What clients are told of `error`, which is being handled; the log gets it all."""
    _log.exception("a batch could not be put together or answered")
    return Internal(f"unexpected failure: {error}")


def fail_unanswered(requests: Iterable[Pending], error: Exception, now_ns: int, statistics: ModelStatistics) -> None:
    """Fail those of an executed batch that have no answer yet."""
    reason = unforeseen(error)
    for pending in requests:
        if pending.results is None and pending.error is None:
            statistics.record_failure(now_ns - pending.accepted_ns, "OTHER", pending.count)
            pending.fail(reason)
