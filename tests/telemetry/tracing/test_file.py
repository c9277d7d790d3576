import json
import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from despina.telemetry.tracing.file import TraceFile
from despina.telemetry.tracing.settings import TraceSettings
from despina.telemetry.tracing.trace import Trace


def group(name: str) -> list[Trace]:
    trace = Trace(count(1), ("TIMESTAMPS",), lambda group: None)
    trace.stamp(name, 1)
    return trace.group


def names(path: Path) -> list[str]:
    return [entry["timestamps"][0]["name"] for entry in json.loads(path.read_bytes())]


def test_appended_traces_make_one_array_that_replaces_an_old_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("a longer text that was here before" * 10)
    file = TraceFile(path)
    file.append([group("A")])
    file.append([group("B"), group("C")])
    file.close()
    assert names(path) == ["A", "B", "C"]


def test_numbered_files_count_from_zero(tmp_path: Path) -> None:
    file = TraceFile(tmp_path / "trace.json")
    file.save_numbered([group("A"), group("B")])
    file.save_numbered([group("C")])
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trace.json.0", "trace.json.1"]
    assert names(tmp_path / "trace.json.0") == ["A", "B"]
    assert names(tmp_path / "trace.json.1") == ["C"]


def test_without_traces_there_is_no_file(tmp_path: Path) -> None:
    TraceFile(tmp_path / "trace.json").close()
    assert list(tmp_path.iterdir()) == []


def test_a_device_can_be_written_to() -> None:
    file = TraceFile(Path("/dev/null"))
    file.append([group("A")])
    file.append([group("B")])
    file.close()


def test_a_file_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = TraceFile(tmp_path / "missing" / "trace.json")
    with caplog.at_level(logging.ERROR):
        file.append([group("A")])
        file.close()
    assert "failed creating trace file" in caplog.text


def test_a_file_on_a_full_disk_is_logged_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    file = TraceFile(Path("/dev/full"))
    with caplog.at_level(logging.ERROR):
        file.append([group("A")])
        file.close()
    assert "failed creating trace file: [Errno 28] No space left on device" in caplog.messages


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("before", [[], ["A"]])
@pytest.mark.parametrize("room", [0, 100, 20_000])
def test_traces_follow_on_a_disk_that_was_full_for_a_while(tmp_path: Path, before: list[str], room: int) -> None:
    path = tmp_path / "trace.json"
    file = TraceFile(path)
    for name in before:
        file.append([group(name)])
    file._thread._executor.submit(int).result()
    with files_no_larger_than(room):
        file.append([group("lost" * 10_000)])
        file._thread._executor.submit(int).result()
    if before and room:
        assert names(path) == before
    for name in ("B", "C"):
        file.append([group(name)])
    file.close()
    assert names(path) == [*before, "B", "C"]


def test_what_comes_after_closing_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    file = TraceFile(path)
    file.append([group("A")])
    file.close()
    file.append([group("B")])
    file.save_numbered([group("C")])
    assert names(path) == ["A"]
    assert [file.name for file in tmp_path.iterdir()] == ["trace.json"]


def test_settings_write_what_requests_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    config = {"": {"rate": ("1",), "level": ("TIMESTAMPS",)}, "triton": {"file": (str(path),)}}
    settings = TraceSettings(config)
    for _ in range(3):
        trace = settings.settings_for("m").sample()
        assert trace is not None
        trace.start_request("m", 1, "")
        trace.close()
    settings.close()
    written = json.loads(path.read_bytes())
    assert [entry["id"] for entry in written] == [1, 1, 2, 2, 3, 3]
    assert written[1]["timestamps"][0]["ns"] < written[5]["timestamps"][0]["ns"]
