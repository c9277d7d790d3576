from pathlib import Path

import pytest

from despina.deploy.onnx_file import check_onnx_file
from despina.errors import InvalidArgument

EXAMPLES = Path(__file__).parents[2] / "model_repository"
MODEL = (EXAMPLES / "digits" / "1" / "model.onnx").read_bytes()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*/model.onnx")), ids=lambda path: path.parts[-3])
def test_models_pass(path: Path) -> None:
    check_onnx_file(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html>\n<html>", "it begins with b'<!DOCTYPE html>"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it begins with b'version https://"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "it begins with b'.x89PNG"),
        (MODEL[:-1], rf"it ends in the middle, after {len(MODEL) - 1} bytes; was its download or copy cut off\?"),
        (MODEL[: len(MODEL) // 2], "it ends in the middle"),
        (MODEL[:1], "it ends in the middle"),
        (b"\x08\x08", "it holds no graph"),
        (b"\x08\x08\x3a\x00", "it does not say the version of its operators"),
        (b"\x00" * 64, "it begins with"),
        (b"\xff" * 64, "it begins with"),
    ],
)
def test_what_is_no_whole_model_is_refused_with_the_reason(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(InvalidArgument, match=rf"model path .*model\.onnx is not an ONNX model: {problem}"):
        check_onnx_file(tmp_path / "model.onnx")


def test_no_beginning_of_a_model_passes_for_one(tmp_path: Path) -> None:
    small = (EXAMPLES / "simple" / "1" / "model.onnx").read_bytes()
    for length in range(len(small)):
        (tmp_path / "model.onnx").write_bytes(small[:length])
        with pytest.raises(InvalidArgument):
            check_onnx_file(tmp_path / "model.onnx")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"is a folder; framework Onnx means one \.onnx file, .* Multi"):
        check_onnx_file(tmp_path)
