import sys
from pathlib import Path

import pytest

from despina_backends.onnxruntime.tensorrt import advice, missing, package_folder, preload

FILES = ("__init__.py", "libnvinfer_builder_resource.so.10.13.3", "libnvonnxparser.so.10", "libnvinfer.so.10")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As pip makes it."""
    made = tmp_path / "tensorrt_libs"
    made.mkdir()
    for name in FILES:
        (made / name).write_text("raise AssertionError" if name.endswith(".py") else "")
    monkeypatch.syspath_prepend(tmp_path)
    return made


def test_the_package_is_found_and_not_imported(folder: Path) -> None:
    assert package_folder() == folder
    assert "tensorrt_libs" not in sys.modules


def test_without_the_package_nothing_is_opened() -> None:
    opened: list[str] = []
    assert package_folder() is None
    preload(None, opened.append)
    assert opened == []


def test_libraries_are_opened_after_those_that_they_need(folder: Path) -> None:
    opened: list[str] = []
    preload(folder, opened.append)
    names = ["libnvinfer.so.10", "libnvonnxparser.so.10", "libnvinfer_builder_resource.so.10.13.3"]
    assert opened == [str(folder / name) for name in names]


def test_a_library_that_cannot_be_opened_keeps_none_of_the_others_out(folder: Path) -> None:
    opened: list[str] = []

    def open_library(path: str) -> None:
        opened.append(path)
        raise OSError(path)

    preload(folder, open_library)
    assert len(opened) == 3


def test_missing_are_those_that_the_provider_is_linked_with() -> None:
    def open_library(name: str) -> None:
        if name != "libnvinfer.so.10":
            raise OSError(name)

    assert missing(open_library) == ("libnvonnxparser.so.10",)


def test_the_advice_names_the_package_for_the_cuda_version() -> None:
    assert advice(("a", "b"), "12.8") == ("missing for TensorRT: a, b; they come with `pip install 'tensorrt-cu12<11'`")
