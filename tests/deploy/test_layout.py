from pathlib import Path

import pytest

from despina.deploy.layout import find_repository, put_configs_right
from despina.errors import InvalidArgument


def make(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


@pytest.mark.parametrize(
    ("registered", "files", "repository"),
    [
        ("models", ["models/triton/densenet_onnx/1/model.onnx"], "models/triton"),
        ("models/triton", ["models/triton/densenet_onnx/1/model.onnx"], "models/triton"),
        ("models", ["models/x/triton/densenet_onnx/1/model.onnx"], "models/x/triton"),
        ("models", ["models/densenet_onnx/1/model.onnx", "models/README.md"], "models"),
        ("models", ["models/densenet_onnx/1/model.onnx", "models/triton/1/model.onnx"], "models"),
    ],
)
def test_the_shapes_of_a_registered_folder(tmp_path: Path, registered: str, files: list[str], repository: str) -> None:
    make(tmp_path, *files)
    layout = find_repository(tmp_path / registered)
    assert layout.root == tmp_path / repository
    assert layout.models[0].name == "densenet_onnx"
    assert layout.models[0].versions == (1,)


def test_versions_ascend_by_number_and_other_files_are_tolerated(tmp_path: Path) -> None:
    make(tmp_path, "r/m/10/model.onnx", "r/m/9/model.onnx", "r/m/labels.txt", "r/notes/a.txt")
    (model,) = find_repository(tmp_path / "r").models
    assert model.versions == (9, 10)


@pytest.mark.parametrize(
    ("registered", "files", "message"),
    [
        ("r/model.onnx", ["r/model.onnx"], "model.onnx is a file; framework Multi means a folder"),
        ("m", ["m/1/model.onnx"], "m is one model, not a model repository; register the folder that contains it"),
        ("r", ["r/m/model.onnx"], "no model repository in r: .*found m/"),
        ("r", ["r/triton/m/model.onnx"], "triton holds no model: expected NAME/VERSION/model.onnx"),
    ],
)
def test_what_is_no_repository_is_refused(tmp_path: Path, registered: str, files: list[str], message: str) -> None:
    make(tmp_path, *files)
    with pytest.raises(InvalidArgument, match=message):
        find_repository(tmp_path / registered)


def test_configuration_in_the_version_folder_is_taken_with_a_warning(tmp_path: Path) -> None:
    make(tmp_path, "r/m/1/model.onnx", "r/m/1/config.pbtxt")
    layout = find_repository(tmp_path / "r")
    assert layout.warnings == ("model m: m/1/config.pbtxt is used, but its place is m/config.pbtxt",)
    put_configs_right(layout)
    assert (tmp_path / "r/m/config.pbtxt").read_text() == "r/m/1/config.pbtxt"


def test_configuration_in_the_model_folder_counts(tmp_path: Path) -> None:
    make(tmp_path, "r/m/1/model.onnx", "r/m/1/config.pbtxt", "r/m/config.pbtxt")
    layout = find_repository(tmp_path / "r")
    assert layout.models[0].lifted_config is None
    assert layout.warnings == ("model m: 1/config.pbtxt is ignored, m/config.pbtxt counts",)
    put_configs_right(layout)
    assert (tmp_path / "r/m/config.pbtxt").read_text() == "r/m/config.pbtxt"


def test_different_configurations_in_version_folders_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "r/m/1/config.pbtxt", "r/m/2/config.pbtxt")
    with pytest.raises(InvalidArgument, match=r"different config\.pbtxt files; .*put it at m/config\.pbtxt"):
        find_repository(tmp_path / "r")
