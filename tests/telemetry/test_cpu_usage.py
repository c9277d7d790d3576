from pathlib import Path

from despina.telemetry.cpu_usage import CpuSample, CpuUsage


def write(proc: Path, busy: int, idle: int, available: int) -> None:
    (proc / "stat").write_text(f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\nintr 1\n")
    (proc / "meminfo").write_text(f"MemTotal: 100 kB\nMemAvailable: {available} kB\nHugePages_Total: 0\n")


def test_utilization_is_that_since_the_sample_before(tmp_path: Path) -> None:
    now = [0.0]
    write(tmp_path, busy=0, idle=0, available=100)
    usage = CpuUsage(1.0, tmp_path, lambda: now[0])
    write(tmp_path, busy=30, idle=70, available=40)
    assert usage.sample() == CpuSample(utilization=1 - 0.7, memory_total=102400, memory_used=61440)
    now[0] = 1.0
    write(tmp_path, busy=130, idle=70, available=40)
    assert usage.sample() == CpuSample(utilization=1.0, memory_total=102400, memory_used=61440)


def test_a_sample_is_kept_for_the_interval(tmp_path: Path) -> None:
    now = [0.0]
    write(tmp_path, busy=0, idle=0, available=100)
    usage = CpuUsage(2.0, tmp_path, lambda: now[0])
    write(tmp_path, busy=50, idle=50, available=50)
    first = usage.sample()
    now[0] = 1.9
    write(tmp_path, busy=60, idle=50, available=10)
    assert usage.sample() is first
    now[0] = 2.0
    assert usage.sample() != first


def test_without_proc_there_is_no_sample(tmp_path: Path) -> None:
    assert CpuUsage(1.0, tmp_path).sample() is None
