import os
from pathlib import Path

import pytest

from despina.deploy.home import Home
from despina.deploy.materialise import copy_model, link_model
from despina.deploy.record import ModelDescription, ModelRecord
from despina.deploy.registry import Registry
from despina.errors import AlreadyExists, Internal


def register(tmp_path: Path) -> tuple[Registry, ModelRecord]:
    (tmp_path / "home").mkdir()
    (tmp_path / "models" / "m" / "1").mkdir(parents=True)
    (tmp_path / "models" / "e" / "1").mkdir(parents=True)
    (tmp_path / "models" / "m" / "1" / "model.onnx").write_bytes(b"weights")
    (tmp_path / "models" / "run.sh").write_text("echo")
    (tmp_path / "models" / "run.sh").chmod(0o755)
    registry = Registry(Home(tmp_path / "home"))
    return registry, registry.register(ModelDescription("m"), tmp_path / "models")


def test_service_gets_hard_links_empty_folders_and_executables(tmp_path: Path) -> None:
    registry, record = register(tmp_path)
    top = link_model(registry.blobs, record, tmp_path / "azureml-models" / "m" / "1")
    assert top == tmp_path / "azureml-models" / "m" / "1" / "models"
    stored = {file.path: file.sha256 or "" for file in record.files}
    assert os.path.samefile(top / "m/1/model.onnx", registry.blobs.path(stored["models/m/1/model.onnx"]))
    assert (top / "e" / "1").is_dir()
    assert os.access(top / "run.sh", os.X_OK)
    assert not os.path.samefile(top / "run.sh", registry.blobs.path(stored["models/run.sh"]))


def test_link_is_all_or_nothing(tmp_path: Path) -> None:
    registry, record = register(tmp_path)
    registry.blobs.path(record.files[-1].sha256 or "").unlink()
    with pytest.raises(Internal, match="is missing"):
        link_model(registry.blobs, record, tmp_path / "out" / "1")
    assert list((tmp_path / "out").iterdir()) == []


def test_link_refuses_a_taken_place(tmp_path: Path) -> None:
    registry, record = register(tmp_path)
    with pytest.raises(AlreadyExists):
        link_model(registry.blobs, record, tmp_path)


def test_download_is_a_writable_copy(tmp_path: Path) -> None:
    registry, record = register(tmp_path)
    top = copy_model(registry.blobs, record, tmp_path / "down")
    (top / "m/1/model.onnx").write_bytes(b"changed")
    assert copy_model(registry.blobs, record, tmp_path / "again").joinpath("m/1/model.onnx").read_bytes() == b"weights"


def test_download_refuses_to_replace_files_unless_told(tmp_path: Path) -> None:
    registry, record = register(tmp_path)
    (tmp_path / "down" / "models").mkdir(parents=True)
    (tmp_path / "down" / "models" / "run.sh").write_text("mine")
    with pytest.raises(AlreadyExists, match=r"models/run\.sh exists already"):
        copy_model(registry.blobs, record, tmp_path / "down")
    assert not (tmp_path / "down" / "models" / "m").exists()
    copy_model(registry.blobs, record, tmp_path / "down", overwrite=True)
    assert (tmp_path / "down" / "models" / "run.sh").read_text() == "echo"
