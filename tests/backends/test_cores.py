import os
from pathlib import Path

import pytest

from despina_backends import cores
from despina_backends.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_cgroups_the_affinity_mask_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path, tmp_path / "absent") == 8


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 8), ("350000 100000", 3), ("50000 100000", 1), ("1600000 100000", 8)]
)
def test_quota_of_the_container_limits(tmp_path: Path, quota: str, expected: int) -> None:
    write(tmp_path / "cpu.max", quota + "\n")
    write(tmp_path / "membership", "0::/\n")
    assert usable_cores(tmp_path, tmp_path / "membership") == expected


def test_every_group_above_ours_limits(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/a/cpu.max", "200000 100000")
    write(tmp_path / "cgroup/a/b/cpu.max", "400000 100000")
    write(tmp_path / "membership", "0::/a/b\n")
    assert usable_cores(tmp_path / "cgroup", tmp_path / "membership") == 2


@pytest.mark.parametrize("membership", ["", "4:cpu,cpuacct:/a/b\n0::/\n"])
def test_version_one_quota_limits(tmp_path: Path, membership: str) -> None:
    write(tmp_path / "cpu/cpu.cfs_quota_us", "200000")
    write(tmp_path / "cpu/cpu.cfs_period_us", "100000")
    write(tmp_path / "membership", membership)
    assert usable_cores(tmp_path, tmp_path / "membership") == 2


@pytest.mark.parametrize("group", ["cpu/a", "cpu/a/b"])
def test_version_one_quota_of_our_group_or_one_above_limits(tmp_path: Path, group: str) -> None:
    for place, quota in (("cpu", "-1"), ("cpu/a", "-1"), ("cpu/a/b", "600000"), (group, "250000")):
        write(tmp_path / place / "cpu.cfs_quota_us", quota + "\n")
        write(tmp_path / place / "cpu.cfs_period_us", "100000\n")
    write(tmp_path / "membership", "4:cpu,cpuacct:/a/b\n0::/\n")
    assert usable_cores(tmp_path, tmp_path / "membership") == 2


def test_this_machine_has_at_least_one() -> None:
    assert cores.usable_cores() >= 1
