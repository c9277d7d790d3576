"""Failed requests per model version and reason, since the server started.

In tritonserver `nv_inference_request_failure` is the one series of a model that neither vanishes when it is unloaded
nor starts again from zero when it is loaded anew. So the counts of statistics that are gone are kept here.
"""

from collections.abc import Iterable, Mapping

from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.statistics import FAILURE_REASONS, ModelStatistics

SeriesLabels = tuple[tuple[str, str], ...]


class FailureTotals:
    """Follows model versions by name; `add` is told of every version that is loaded."""

    def __init__(self) -> None:
        self._counts: dict[SeriesLabels, dict[str, int]] = {}
        self._live: dict[SeriesLabels, ModelStatistics] = {}

    def add(self, model: MeasuredModel, gpu_uuids: Mapping[int, str]) -> None:
        """Follow a loaded version. The statistics followed under the same labels until now are final."""
        labels = tuple(model.labels(gpu_uuids).items())
        before = self._live.get(labels)
        if before is model.statistics:
            return
        counts = self._counts.setdefault(labels, dict.fromkeys(FAILURE_REASONS, 0))
        for reason, count in before.failures.items() if before else ():
            counts[reason] += count
        self._live[labels] = model.statistics

    def add_all(self, models: Iterable[MeasuredModel], gpu_uuids: Mapping[int, str]) -> None:
        for model in models:
            self.add(model, gpu_uuids)

    def series(self) -> dict[SeriesLabels, int]:
        """Every series ever followed, one per reason, labels sorted by name."""
        return {
            tuple(sorted((*labels, ("reason", reason)))): counts[reason] + self._live[labels].failures[reason]
            for labels, counts in self._counts.items()
            for reason in FAILURE_REASONS
        }
