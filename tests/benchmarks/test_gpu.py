import pytest
from benchmarks import gpu
from benchmarks.gpu import GpuUse, GpuWatch, summary

from despina.telemetry.nvml import GpuReading


def reading(busy: int | None, used: int | None = 5_000_000) -> GpuReading:
    return GpuReading(busy, 10, used, None, None, None)


def test_utilisation_is_a_mean_memory_a_maximum_and_what_is_not_told_is_left_out() -> None:
    assert summary([reading(50), reading(100, 7_000_000), reading(None)]) == GpuUse(75.0, 7.0)
    assert summary([reading(None, None)]) == GpuUse(None, None)
    assert summary([]) is None


class TwoGpus:
    def uuids(self) -> list[str]:
        return ["GPU-a", "GPU-b"]

    def read(self, index: int) -> GpuReading:
        return reading(10 + 80 * index)


@pytest.mark.parametrize(
    ("visible", "use"),
    [(None, GpuUse(10.0, 5.0)), ("1", GpuUse(90.0, 5.0)), ("GPU-b,GPU-a", GpuUse(90.0, 5.0)), ("", None)],
)
def test_the_gpu_that_is_watched_is_the_one_that_computes(
    visible: str | None, use: GpuUse | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with GpuWatch(TwoGpus()) as watch:
        assert watch.use is None
    assert watch.use == use


def test_without_nvml_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "open_nvml", lambda: None)
    with GpuWatch() as watch:
        pass
    assert watch.use is None
