import pytest

from despina.telemetry.gpu_usage import GpuUsage, visible_indices
from despina.telemetry.nvml import CtypesNvml, GpuReading, NvmlError

UUIDS = ["GPU-aa1", "GPU-aa2", "GPU-bb3"]


class FakeNvml:
    def __init__(self) -> None:
        self.energy = 1000
        self.reads: list[int] = []

    def uuids(self) -> list[str]:
        return UUIDS

    def read(self, index: int) -> GpuReading:
        self.reads.append(index)
        return GpuReading(index, 100, 10, 5, None, None if index == 1 else self.energy)


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("2,0", [2, 0]),
        (" 1 , 0", [1, 0]),
        ("0,7,1", [0]),
        ("-1", []),
        ("1,1", [1]),
        ("GPU-bb3,GPU-aa1", [2, 0]),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(visible: str | None, indices: list[int]) -> None:
    assert visible_indices(visible, UUIDS) == indices


def test_energy_counts_from_the_start_and_readings_are_kept_for_the_interval() -> None:
    nvml, now = FakeNvml(), [0.0]
    usage = GpuUsage(nvml, 2.0, "2,1", lambda: now[0])
    assert usage.uuids == {0: "GPU-bb3", 1: "GPU-aa2"}
    nvml.energy = 1500
    assert [(sample.uuid, sample.energy_mj) for sample in usage.sample()] == [("GPU-bb3", 500), ("GPU-aa2", None)]
    reads = len(nvml.reads)
    now[0] = 1.9
    usage.sample()
    assert len(nvml.reads) == reads
    now[0] = 2.0
    usage.sample()
    assert len(nvml.reads) == reads + 2


def test_a_missing_library_is_an_error_with_a_name() -> None:
    with pytest.raises(NvmlError):
        CtypesNvml("libdespina-no-such-nvml.so.1")
