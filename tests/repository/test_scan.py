from pathlib import Path

import pytest

from despina.errors import DespinaError, Internal, InvalidArgument
from despina.repository.scan import check_repositories, places, tell_stray_files


def test_every_sub_directory_is_a_model_and_files_are_not(tmp_path: Path) -> None:
    for name in ("b", "a", ".git", "with space"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "nested").mkdir()
    (tmp_path / "README.md").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    found = places([tmp_path])
    assert list(found) == [".git", "a", "b", "linked", "with space"]
    assert found["a"] == [tmp_path]


def test_a_link_that_leads_to_no_directory_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "file").touch()
    for name, target in (("to a file", "file"), ("to nothing", "nothing"), ("to itself", "to itself"), ("model", "m")):
        (tmp_path / name).symlink_to(tmp_path / target)
    assert list(places([tmp_path])) == ["m", "model"]


def test_places_are_the_repositories_that_hold_a_name(tmp_path: Path) -> None:
    for path in ("two/m", "two/a", "one/m"):
        (tmp_path / path).mkdir(parents=True)
    one, two = tmp_path / "one", tmp_path / "two"
    assert list(places([two, one]).items()) == [("a", [two]), ("m", [one, two])]


def test_repository_named_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert places([tmp_path, tmp_path]) == {"m": [tmp_path]}


def test_repository_that_vanished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Internal, match="failed to open directory"):
        places([tmp_path / "absent"])


def test_repositories_must_be_directories(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    absent = tmp_path / "absent"
    table: list[tuple[list[Path], type[DespinaError], str]] = [
        ([], InvalidArgument, "--model-repository must be specified"),
        ([tmp_path, file], InvalidArgument, "repository path is not a valid directory"),
        ([absent], Internal, f"failed to stat file {absent}"),
    ]
    for repositories, error, message in table:
        with pytest.raises(error) as caught:
            check_repositories(repositories)
        assert caught.value.message == message
    check_repositories([tmp_path])


def test_the_log_tells_of_model_files_beside_the_model_directories(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    for name in ("net.onnx", "m/1/model.onnx", "notes.txt"):
        (tmp_path / name).touch()
    tell_stray_files([tmp_path, tmp_path / "nothing"])
    assert caplog.messages == [
        f"'{tmp_path}/net.onnx' is not served: move it to '{tmp_path}/net/1/model.onnx', or give --model-repository "
        "the file itself"
    ]
