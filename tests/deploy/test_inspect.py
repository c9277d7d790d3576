from pathlib import Path

import pytest

from despina.deploy.inspect import inspect_repository
from despina.errors import InvalidArgument


def write(tmp_path: Path, config: str | None = None, place: str = "config.pbtxt", file: str = "1/model.onnx") -> Path:
    model = tmp_path / "models" / "triton" / "m"
    (model / file).parent.mkdir(parents=True)
    (model / file).write_bytes(b"weights")
    if config is not None:
        (model / place).write_text(config)
    return tmp_path / "models"


def test_what_was_found_is_said(tmp_path: Path) -> None:
    assert inspect_repository(write(tmp_path)) == [
        "model repository models/triton: 1 model",
        "  m: version 1 (no config.pbtxt, autofill)",
    ]


def test_configuration_is_read_as_the_server_reads_it(tmp_path: Path) -> None:
    registered = write(tmp_path, 'platform: "onnxruntime_onnx"\nmax_batch_size: 8\ndynamic_batching {}\n')
    assert inspect_repository(registered)[1] == "  m: version 1 (config.pbtxt: max_batch_size 8, dynamic batching)"


def test_misplaced_configuration_counts_and_is_told(tmp_path: Path) -> None:
    lines = inspect_repository(write(tmp_path, 'platform: "onnxruntime_onnx"\nmax_batch_size: 8\n', "1/config.pbtxt"))
    assert "max_batch_size 8" in lines[1]
    assert lines[2] == "warning: model m: m/1/config.pbtxt is used, but its place is m/config.pbtxt"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("max_batch_size: eight\n", r"model m: config\.pbtxt: 1:17"),
        ('name: "n"\nplatform: "onnxruntime_onnx"\n', r"model m: config\.pbtxt: "),
        ('platform: "onnxruntime_onnx"\nmax_batch_size: -1\n', r"model m: config\.pbtxt: .*max_batch_size"),
    ],
)
def test_configurations_that_cannot_be_served_are_refused(tmp_path: Path, config: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        inspect_repository(write(tmp_path, config))


def test_missing_model_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"m: version 1 has no model\.onnx .*; found densenet\.onnx"):
        inspect_repository(write(tmp_path, file="1/densenet.onnx"))


def test_folder_with_leading_zeros_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="holds no model"):
        inspect_repository(write(tmp_path, file="01/model.onnx"))


def test_link_that_leads_nowhere_is_called_that(tmp_path: Path) -> None:
    registered = write(tmp_path)
    file = registered / "triton" / "m" / "1" / "model.onnx"
    file.unlink()
    file.symlink_to("nowhere")
    with pytest.raises(
        InvalidArgument, match=r"m: version 1: .*/model\.onnx is a link to nowhere, which does not exist"
    ):
        inspect_repository(registered)
