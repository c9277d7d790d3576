import os
from pathlib import Path

import pytest

from despina.repository.stamp import Stamp, changed_versions, take_stamp

BASE = {"": 5, "config.pbtxt": 1, "labels.txt": 1, "1": 2, "2": 2}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, set()),
        ({"": 6}, set()),
        ({"config.pbtxt": 6}, set()),
        ({"configs": 6, "": 6}, set()),
        ({"1": 6}, {1}),
        ({"1": 1}, {1}),
        ({"3": 6, "2": None}, {2, 3}),
        ({"labels.txt": 6}, {1, 2, 3}),
        ({"labels.txt": None}, {1, 2, 3}),
        ({"03": 6}, {1, 2, 3}),
    ],
)
def test_changes_are_told_apart(change: dict[str, int | None], expected: set[int]) -> None:
    before = Stamp(dict(BASE))
    after = Stamp({name: time for name, time in (BASE | change).items() if time is not None})
    assert changed_versions(before, after, (1, 2, 3)) == expected
    assert (before != after) == bool(change)


def test_stamp_has_the_newest_time_of_each_entry(tmp_path: Path) -> None:
    (tmp_path / "1" / "deep").mkdir(parents=True)
    (tmp_path / "config.pbtxt").touch()
    stamp = take_stamp(tmp_path)
    assert set(stamp.entries) == {"", "1", "config.pbtxt"}
    assert stamp == take_stamp(tmp_path)
    late = stamp.newest + 10**12
    set_time(tmp_path / "1" / "deep", late)
    changed = take_stamp(tmp_path)
    assert changed.entries["1"] == late == changed.newest
    assert changed_versions(stamp, changed, (1, 2)) == {1}


def test_new_file_changes_the_directory_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    set_time(tmp_path / "1", 10**9)
    before = take_stamp(tmp_path)
    (tmp_path / "1" / "model.onnx").touch()
    set_time(tmp_path / "1" / "model.onnx", before.newest + 10**12)
    assert changed_versions(before, take_stamp(tmp_path), (1, 2)) == {1}


def test_a_file_that_keeps_its_time_has_changed_too(tmp_path: Path) -> None:
    file = tmp_path / "config.pbtxt"
    file.write_text("old")
    before, times = take_stamp(tmp_path), file.stat()
    while file.stat().st_ctime_ns == times.st_ctime_ns:  # the clock of the file system has steps
        file.write_text("new")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert before != take_stamp(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    model, other = tmp_path / "m", tmp_path / "other"
    model.mkdir()
    other.mkdir()
    (model / "1").symlink_to(other)
    for name in ("back", "again"):  # of a single one the system tires soon
        (other / name).symlink_to(model)
    (model / "dangling").symlink_to(tmp_path / "absent")
    before = take_stamp(model)
    assert set(before.entries) == {"", "1"}
    (other / "model.onnx").touch()
    set_time(other / "model.onnx", before.newest + 10**12)
    assert changed_versions(before, take_stamp(model), (1,)) == {1}


def test_directory_that_is_gone_has_an_empty_stamp(tmp_path: Path) -> None:
    gone = take_stamp(tmp_path / "absent")
    assert gone == Stamp({})
    assert gone.newest == 0


def set_time(path: Path, time_ns: int) -> None:
    os.utime(path, ns=(time_ns, time_ns))
