"""Failed requests per model version and reason, since the server started.

In tritonserver `nv_inference_request_failure` is the one series of a model that neither vanishes when it is unloaded
nor starts again from zero when it is loaded after that. So the counts of statistics that are gone are kept here.
"""

from collections.abc import Mapping

from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.statistics import FAILURE_REASONS, ModelStatistics

SeriesLabels = tuple[tuple[str, str], ...]


class FailureTotals:
    """Follows model versions by name; `add` is told once of every version that is loaded."""

    def __init__(self) -> None:
        self._followed: dict[SeriesLabels, tuple[ModelStatistics, Mapping[str, int]]] = {}
        """The statistics that count, and the failures before them. Written on the event loop and read by whoever writes
        the metrics: an entry is replaced, never changed."""

    def add(self, model: MeasuredModel, gpu_uuids: Mapping[int, str], *, goes_on: bool = False) -> None:
        """Follow a loaded version. The statistics followed under the same labels until now are final, unless those of
        this version go on from them."""
        labels = tuple(model.labels(gpu_uuids).items())
        before = self._followed.get(labels)
        if before is None:
            self._followed[labels] = model.statistics, dict.fromkeys(FAILURE_REASONS, 0)
        elif before[0] is not model.statistics:
            final, counts = before
            if not goes_on:
                counts = {reason: count + _failures(final, reason) for reason, count in counts.items()}
            self._followed[labels] = model.statistics, counts

    def series(self) -> dict[SeriesLabels, int]:
        """Every series ever followed, one per reason, labels sorted by name."""
        return {
            tuple(sorted((*labels, ("reason", reason)))): counts[reason] + _failures(statistics, reason)
            for labels, (statistics, counts) in self._followed.copy().items()
            for reason in FAILURE_REASONS
        }


def _failures(statistics: ModelStatistics, reason: str) -> int:
    return sum(each.failures[reason] for each in (statistics, *statistics.before))
