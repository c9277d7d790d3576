import ctypes
from typing import Any

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


def test_a_gpu_that_this_process_may_not_use_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    no_permission = 4

    class Library:
        """NVML of a machine with three GPUs, of which a container got the second."""

        def __getattr__(self, name: str) -> object:
            return lambda *_: 0

        def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
            count._obj.value = 3
            return 0

        def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
            handle._obj.value = 1 + index.value
            return 0 if index.value == 1 else no_permission

        def nvmlDeviceGetUUID(self, handle: Any, text: Any, _size: Any) -> int:  # noqa: N802
            text.value = f"GPU-{handle.value}".encode()
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    assert CtypesNvml().uuids() == ["GPU-2"]
