"""What the metrics need to know of one loaded model version, and the labels of its series."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from despina.telemetry.statistics import ModelStatistics


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """One loaded model version.

    `tags` are the `metric_tags` of its configuration, `load_seconds` is how long loading took, `cached` says whether
    its answers go through the response cache, and `gpu` is the device id of the GPU all its instances run on (None:
    CPU, or several GPUs).
    """

    name: str
    version: int
    statistics: ModelStatistics
    tags: Mapping[str, str] = field(default_factory=dict)
    load_seconds: float = 0.0
    cached: bool = False
    gpu: int | None = None

    def labels(self, gpu_uuids: Mapping[int, str]) -> dict[str, str]:
        """The labels of a series, sorted by name; a tag is a label with an underscore before its name."""
        labels = {f"_{name}": value for name, value in self.tags.items()}
        labels |= {"model": self.name, "version": str(self.version)}
        if self.gpu is not None and self.gpu in gpu_uuids:
            labels["gpu_uuid"] = gpu_uuids[self.gpu]
        return dict(sorted(labels.items()))
