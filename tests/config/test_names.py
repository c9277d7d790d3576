from pathlib import Path

import pytest

from despina.config.names import complete_names
from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument


def files(directory: Path, *paths: str) -> Path:
    for path in paths:
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).touch()
    return directory


def names(config: ModelConfig) -> tuple[str, str, str]:
    return config.backend, config.platform, config.default_model_filename


ONNX = ("onnxruntime", "onnxruntime_onnx", "model.onnx")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, ONNX),
        ({"backend": "onnxruntime"}, ONNX),
        ({"platform": "onnxruntime_onnx"}, ONNX),
        ({"default_model_filename": "model.onnx"}, ONNX),
        (
            {"backend": "onnxruntime", "default_model_filename": "net.onnx"},
            ("onnxruntime", "onnxruntime_onnx", "net.onnx"),
        ),
        (
            {"platform": "onnxruntime_onnx", "default_model_filename": "n"},
            ("onnxruntime", "onnxruntime_onnx", "n"),
        ),
        ({"backend": "my.package:Backend"}, ("my.package:Backend", "", "")),
        ({"platform": "caffe2"}, ("", "caffe2", "")),
        ({"default_model_filename": "net.onnx"}, ("", "", "net.onnx")),
        ({"platform": "tensorrt_plan"}, ("tensorrt", "tensorrt_plan", "model.plan")),
        ({"platform": "ensemble"}, ("", "ensemble", "")),
    ],
)
def test_names_are_completed_beside_an_onnx_file(
    tmp_path: Path, written: dict[str, str], expected: tuple[str, str, str]
) -> None:
    completed = complete_names(ModelConfig(**written), "m", files(tmp_path, "1/model.onnx"))
    assert completed.name == "m"
    assert names(completed) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("1/model.plan", ("tensorrt", "tensorrt_plan", "model.plan")),
        ("1/model.pt", ("pytorch", "pytorch_libtorch", "model.pt")),
        ("1/model.py", ("python", "", "model.py")),
        ("1/model.xml", ("openvino", "", "model.xml")),
        ("1/model.onnx/model.onnx", ONNX),
        ("10/model.onnx", ONNX),
    ],
)
def test_backend_follows_from_the_file(tmp_path: Path, file: str, expected: tuple[str, str, str]) -> None:
    assert names(complete_names(ModelConfig(), "m", files(tmp_path, file))) == expected


def test_version_directories_are_looked_at_before_others(tmp_path: Path) -> None:
    files(tmp_path, ".cache/model.plan", "configs/a.pbtxt", "2/notes", "10/model.onnx")
    assert names(complete_names(ModelConfig(), "m", tmp_path)) == ONNX


def test_model_name_can_tell_the_backend(tmp_path: Path) -> None:
    assert names(complete_names(ModelConfig(), "net.my.backend", tmp_path)) == ("my.backend", "", "model.my.backend")


@pytest.mark.parametrize("name", ["m", "m."])
def test_nothing_that_tells_the_backend_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        complete_names(ModelConfig(), name, tmp_path)
    assert caught.value.message == (
        f"Invalid model name: Could not determine backend for model '{name}' with no backend in model configuration. "
        "Expected model name of the form 'model.<backend_name>'."
    )


def test_name_other_than_the_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        complete_names(ModelConfig(name="other"), "m", tmp_path)
    assert caught.value.message == (
        "unexpected directory name 'm' for model 'other', directory name must equal model name"
    )


def test_configuration_as_written_stays_as_it_is(tmp_path: Path) -> None:
    written = ModelConfig()
    complete_names(written, "m", files(tmp_path, "1/model.onnx"))
    assert written == ModelConfig()


@pytest.mark.parametrize(
    ("there", "expected"),
    [("3/net.onnx", "3/model.onnx"), ("1/net.ort", "1/model.onnx"), ("model.onnx", "1/model.onnx")],
)
def test_the_log_says_where_a_model_file_was_expected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, there: str, expected: str
) -> None:
    with pytest.raises(InvalidArgument, match="Could not determine backend"):
        complete_names(ModelConfig(), "m", files(tmp_path, there))
    (message,) = caplog.messages
    assert message.startswith(f"model 'm': expected {tmp_path / expected}, found {tmp_path / there}: ")


def test_nothing_is_said_of_files_that_are_no_models(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidArgument):
        complete_names(ModelConfig(), "m", files(tmp_path, "1/notes.txt"))
    assert not caplog.messages
