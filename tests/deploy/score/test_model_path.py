from pathlib import Path

import pytest

from despina.deploy.score.model_path import ModelNotFoundException, get_model_path


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


def test_newest_version_or_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "azureml-models/m/9/models", "azureml-models/m/10/models")
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert get_model_path("m") == "azureml-models/m/10/models"
    assert get_model_path("m", 9) == "azureml-models/m/9/models"


@pytest.mark.parametrize("given", ["azureml-models", "azureml-models/other/1"])
def test_found_through_the_model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    make(tmp_path, "azureml-models/m/1/models", "azureml-models/other/1/x", "elsewhere")
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / given))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert get_model_path("m").endswith("azureml-models/m/1/models")


def test_local_path_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"")
    assert get_model_path("model.onnx") == "model.onnx"
    with pytest.raises(ModelNotFoundException, match=r"Model model\.onnx not found"):
        get_model_path("model.onnx", 1)
    with pytest.raises(ModelNotFoundException, match="Model other not found"):
        get_model_path("other")


def test_version_folder_with_two_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "azureml-models/m/1/a", "azureml-models/m/1/b")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundException, match="holds 2 entries, expected exactly one"):
        get_model_path("m")
