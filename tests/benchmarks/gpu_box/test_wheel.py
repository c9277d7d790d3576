import zipfile
from pathlib import Path

import pytest
from benchmarks.gpu_box.problem import Problem
from benchmarks.gpu_box.wheel import wheels_in

NAME = "onnxruntime_gpu-1.31.1-cp311-cp311-manylinux_2_28_x86_64.whl"


def make_wheel(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("onnxruntime/__init__.py", "x" * 500)
    return path.read_bytes()


def split(folder: Path, content: bytes, suffixes: list[str], separator: str = ".") -> None:
    size = -(-len(content) // len(suffixes))
    for index, suffix in enumerate(suffixes):
        (folder / f"{NAME}{separator}{suffix}").write_bytes(content[index * size : (index + 1) * size])


@pytest.mark.parametrize(
    ("suffixes", "separator"), [(["aa", "ab", "ac"], "."), (["aa", "ab"], ""), (["00", "01", "02", "03"], ".")]
)
def test_parts_are_put_together_in_order(tmp_path: Path, suffixes: list[str], separator: str) -> None:
    content = make_wheel(tmp_path / "made")
    folder = tmp_path / "parts"
    folder.mkdir()
    split(folder, content, suffixes, separator)
    (joined,) = wheels_in(folder, tmp_path / "joined")
    assert joined.name == NAME
    assert joined.read_bytes() == content
    assert wheels_in(folder, tmp_path / "joined") == [joined]


def test_whole_wheels_are_taken_where_they_lie(tmp_path: Path) -> None:
    make_wheel(tmp_path / NAME)
    make_wheel(tmp_path / "click-8.1-py3-none-any.whl")
    (tmp_path / "notes.txt").write_text("")
    assert wheels_in(tmp_path, tmp_path / "joined") == [tmp_path / "click-8.1-py3-none-any.whl", tmp_path / NAME]


@pytest.mark.parametrize(
    ("suffixes", "text"),
    [
        (["aa", "ac"], "parts number 2 are missing"),
        (["ab", "ad"], "parts number 1, 3 are missing"),
        (["01"], "parts number 1 are missing"),
    ],
)
def test_a_missing_part_is_named(tmp_path: Path, suffixes: list[str], text: str) -> None:
    split(tmp_path, b"x" * 100, suffixes)
    with pytest.raises(Problem, match=text):
        wheels_in(tmp_path, tmp_path / "joined")


def test_a_missing_end_is_found_out(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    split(folder, make_wheel(tmp_path / "made"), ["aa", "ab", "ac"])
    (folder / f"{NAME}.ac").unlink()
    with pytest.raises(Problem, match="is not a complete wheel"):
        wheels_in(folder, tmp_path / "joined")


def test_an_empty_or_absent_folder_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="holds no wheel"):
        wheels_in(tmp_path, tmp_path / "joined")
    with pytest.raises(Problem, match="is not a folder"):
        wheels_in(tmp_path / "absent", tmp_path / "joined")
