import os
from pathlib import Path

import pytest

from despina.http.usable_memory import usable_memory

GB = 1 << 30


@pytest.fixture(autouse=True)
def eight_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 8 * GB // 4096, "SC_PAGE_SIZE": 4096}.__getitem__)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_cgroups_it_is_the_memory_of_the_machine(tmp_path: Path) -> None:
    assert usable_memory(tmp_path, tmp_path / "absent") == 8 * GB


@pytest.mark.parametrize(("limit", "expected"), [("max", 8 * GB), (str(2 * GB), 2 * GB), (str(16 * GB), 8 * GB)])
def test_a_container_may_have_less(tmp_path: Path, limit: str, expected: int) -> None:
    write(tmp_path / "memory.max", limit + "\n")
    write(tmp_path / "membership", "0::/\n")
    assert usable_memory(tmp_path, tmp_path / "membership") == expected


def test_every_group_above_ours_limits(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/a/memory.max", str(GB))
    write(tmp_path / "cgroup/a/b/memory.max", str(2 * GB))
    write(tmp_path / "membership", "0::/a/b\n")
    assert usable_memory(tmp_path / "cgroup", tmp_path / "membership") == GB


@pytest.mark.parametrize("place", ["cgroup/memory/memory.limit_in_bytes", "cgroup/memory/a/memory.limit_in_bytes"])
def test_version_one_limits_too(tmp_path: Path, place: str) -> None:
    write(tmp_path / place, str(3 * GB))
    write(tmp_path / "membership", "9:name=systemd:/\n5:cpu,memory:/a\n0::/\n")
    assert usable_memory(tmp_path / "cgroup", tmp_path / "membership") == 3 * GB


def test_version_one_says_no_limit_with_a_huge_number(tmp_path: Path) -> None:
    write(tmp_path / "cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    write(tmp_path / "membership", "4:memory:/\n")
    assert usable_memory(tmp_path / "cgroup", tmp_path / "membership") == 8 * GB
