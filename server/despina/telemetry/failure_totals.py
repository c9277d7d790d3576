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

    def add(self, model: MeasuredModel, gpu_uuids: Mapping[int, str]) -> None:
        """Follow a loaded version. The statistics followed under the same labels until now are final."""
        labels = tuple(model.labels(gpu_uuids).items())
        before = self._followed.get(labels)
        if before is None:
            self._followed[labels] = model.statistics, dict.fromkeys(FAILURE_REASONS, 0)
        elif before[0] is not model.statistics:
            final, counts = before
            self._followed[labels] = model.statistics, {key: counts[key] + final.failures[key] for key in counts}

    def series(self) -> dict[SeriesLabels, int]:
        """Every series ever followed, one per reason, labels sorted by name."""
        return {
            tuple(sorted((*labels, ("reason", reason)))): counts[reason] + statistics.failures[reason]
            for labels, (statistics, counts) in self._followed.copy().items()
            for reason in FAILURE_REASONS
        }
