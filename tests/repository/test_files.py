import os
from pathlib import Path

import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.errors import Internal, Unavailable
from despina.repository.files import model_file, version_files


def config(fields: str = "") -> ModelConfig:
    return parse_text(f'name: "m" backend: "onnxruntime" {fields}')


def put(directory: Path, path: str) -> Path:
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).touch()
    return directory / path


SPECIAL = 'cc_model_filenames { key: "8.0" value: "a100.onnx" } '


@pytest.mark.parametrize(
    ("fields", "capability", "file"),
    [
        ("", None, "1/model.onnx"),
        ('default_model_filename: "net.onnx"', None, "1/net.onnx"),
        (SPECIAL, "8.0", "1/a100.onnx"),
        (SPECIAL, "9.0", "1/model.onnx"),
        (SPECIAL + 'default_model_filename: "net.onnx"', None, "1/net.onnx"),
        ("", None, "1/model.onnx/model.onnx"),
        ('default_model_filename: "net"', None, "1/net/model.onnx"),
    ],
)
def test_file_of_a_version(tmp_path: Path, fields: str, capability: str | None, file: str) -> None:
    expected = put(tmp_path, file)
    assert model_file(tmp_path, 1, config(fields), capability) == expected


def test_a_name_that_begins_with_a_slash_is_below_the_version(tmp_path: Path) -> None:
    expected = put(tmp_path, "1/dev/null")
    assert model_file(tmp_path, 1, config('default_model_filename: "/dev/null"')) == expected


def test_missing_file_is_internal(tmp_path: Path) -> None:
    with pytest.raises(Internal) as caught:
        model_file(tmp_path, 3, config())
    assert caught.value.message == f"failed to stat file {tmp_path}/3/model.onnx"


def test_directory_without_a_model_is_unavailable(tmp_path: Path) -> None:
    put(tmp_path, "1/model.onnx/weights")
    with pytest.raises(Unavailable) as caught:
        model_file(tmp_path, 1, config())
    assert caught.value.message == f"unable to find '{tmp_path}/1/model.onnx/model.onnx' for model instance 'm'"


def test_other_backends_look_for_themselves(tmp_path: Path) -> None:
    other = ModelConfig(name="m", backend="other", default_model_filename="model.bin")
    assert model_file(tmp_path, 2, other) == tmp_path / "2" / "model.bin"


def test_files_are_the_same_as_long_as_their_contents_are(tmp_path: Path) -> None:
    file = put(tmp_path, "1/model.onnx")
    file.write_text("old")
    os.utime(file, ns=(0, 1_000))
    before = version_files(tmp_path, 1)
    file.chmod(0o600)
    os.link(file, tmp_path / "other")
    assert version_files(tmp_path, 1) == before
    os.utime(file, ns=(0, 2_000))
    assert version_files(tmp_path, 1) != before
    put(tmp_path, "new").write_text("new")
    (tmp_path / "new").replace(file)
    os.utime(file, ns=(0, 1_000))
    assert version_files(tmp_path, 1) != before
