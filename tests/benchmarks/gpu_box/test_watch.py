from benchmarks.gpu_box.watch import GpuUse, NvmlWatch, summary

from despina.telemetry.nvml import GpuReading


def reading(busy: int | None, power: int | None = 1000, used: int | None = 5) -> GpuReading:
    return GpuReading(busy, 10, used, power, None, None)


class FakeNvml:
    def uuids(self) -> list[str]:
        return ["GPU-0"]

    def read(self, index: int) -> GpuReading:
        return reading(80)


def test_readings_are_averaged_and_what_is_not_told_is_left_out() -> None:
    assert summary([reading(50), reading(100, 3000, 7), reading(None)]) == GpuUse(75.0, 5 / 3, 7)
    assert summary([reading(None, None, None)]) == GpuUse(None, None, None)
    assert summary([]) is None


def test_a_block_is_watched_from_beginning_to_end() -> None:
    with NvmlWatch(FakeNvml()) as watch:
        assert watch.use is None
    assert watch.use == GpuUse(80.0, 1.0, 5)


def test_without_nvml_nothing_is_told() -> None:
    with NvmlWatch(None) as watch:
        pass
    assert watch.use is None
