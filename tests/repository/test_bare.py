from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from despina.config.read import read_model_config
from despina.repository.bare import as_repositories, find_bare_model
from despina.repository.scan import places
from despina.repository.versions import version_directories


def write(path: Path, text: str = "onnx") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def a_file(root: Path) -> Path:
    return write(root / "detector.onnx")


def a_standard_file(root: Path) -> Path:
    return write(root / "detector" / "model.onnx")


def a_file_in_a_version(root: Path) -> Path:
    return write(root / "detector" / "1" / "model.onnx")


def a_directory(root: Path) -> Path:
    return write(root / "detector" / "model.onnx").parent


def a_model_directory(root: Path) -> Path:
    return write(root / "detector" / "1" / "model.onnx").parent.parent


@pytest.mark.parametrize("make", [a_file, a_standard_file, a_file_in_a_version, a_directory, a_model_directory])
@pytest.mark.parametrize(("name", "expected"), [(None, "detector"), ("given", "given")])
def test_a_bare_model_becomes_a_repository(
    tmp_path: Path, make: Callable[[Path], Path], name: str | None, expected: str
) -> None:
    with as_repositories([make(tmp_path)], name) as repositories:
        assert places(repositories) == {expected: [repositories[0]]}
        versions = version_directories(repositories[0] / expected)
        assert list(versions) == [1]
        assert (versions[1] / "model.onnx").read_text() == "onnx"
    assert not repositories[0].exists()
    assert (tmp_path / "detector").exists() or (tmp_path / "detector.onnx").exists()


@pytest.mark.parametrize("path", ["detector.onnx", "detector"])
def test_a_relative_path_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    write(tmp_path / path if path.endswith(".onnx") else tmp_path / path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    with as_repositories([Path(path)]) as (repository,):
        monkeypatch.chdir("/")
        assert (repository / "detector" / "1" / "model.onnx").read_text() == "onnx"


def test_a_file_with_weights_beside_it_is_served_from_where_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / 'de"tector.onnx')
    write(tmp_path / 'de"tector.onnx.data')
    with as_repositories([path], "d") as (repository,):
        assert (repository / "d" / "1").resolve() == tmp_path.resolve()
        config = read_model_config(repository / "d", "", required=True)
    assert (config.backend, config.default_model_filename) == ("onnxruntime", 'de"tector.onnx')


@pytest.mark.parametrize("in_a_node", [False, True])
def test_a_file_that_names_weights_of_any_name_is_served_from_where_it_is(tmp_path: Path, in_a_node: bool) -> None:
    outside = TensorProto(name="w", dims=[2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="weights.bin")
    constant = helper.make_node("Constant", [], ["w"], value=outside)
    graph = helper.make_graph([constant] if in_a_node else [], "g", [], [], [] if in_a_node else [outside])
    (tmp_path / "detector.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with as_repositories([tmp_path / "detector.onnx"]) as (repository,):
        assert (repository / "detector" / "1").resolve() == tmp_path.resolve()


def test_an_empty_file_is_served_as_any_other(tmp_path: Path) -> None:
    with as_repositories([write(tmp_path / "detector.onnx", "")]) as (repository,):
        assert (repository / "detector" / "1" / "model.onnx").is_file()


def test_the_configuration_in_the_directory_counts(tmp_path: Path) -> None:
    write(tmp_path / "m" / "model.onnx")
    write(tmp_path / "m" / "config.pbtxt", "max_batch_size: 3")
    with as_repositories([tmp_path / "m"]) as (repository,):
        assert read_model_config(repository / "m", "", required=True).max_batch_size == 3


def test_every_version_of_a_model_directory_is_there(tmp_path: Path) -> None:
    for version in ("1", "3"):
        write(tmp_path / "m" / version / "model.onnx")
    write(tmp_path / "m" / "labels.txt")
    with as_repositories([tmp_path / "m"], "n") as (repository,):
        assert list(version_directories(repository / "n")) == [1, 3]
        assert (repository / "n" / "labels.txt").exists()


def test_repositories_stay_what_they_are(tmp_path: Path) -> None:
    write(tmp_path / "m" / "1" / "model.onnx")
    write(tmp_path / "7" / "1" / "model.onnx")
    paths = (tmp_path, tmp_path / "nothing")
    with as_repositories(paths, "unused") as repositories:
        assert repositories == paths
    assert find_bare_model(tmp_path) is None
