"""The example models: what the script writes, and what is committed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

REPOSITORY = Path(__file__).parent.parent / "model_repository"
SCRIPT = REPOSITORY / "make_models.py"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, str(SCRIPT), str(directory)], check=True, timeout=300, stdout=subprocess.DEVNULL)
    return directory


@pytest.fixture(params=["written", "committed"])
def repository(request: pytest.FixtureRequest, written: Path) -> Path:
    return written if request.param == "written" else REPOSITORY


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module; without a cache folder, which the repository would take for a model."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("make_models", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(directory: Path, feeds: dict[str, Any]) -> list[Any]:
    session = ort.InferenceSession(str(directory / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def test_held_out_digits_are_recognised(repository: Path, script: ModuleType) -> None:
    _, images, _, labels = script.split_digits()
    (probabilities,) = run(repository / "digits", {"image": images})
    assert probabilities.shape == (450, 10)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(450), abs=1e-5)
    assert (probabilities.argmax(axis=1) == labels).mean() >= 0.97


def test_the_example_is_a_held_out_digit_and_says_which(repository: Path, script: ModuleType) -> None:
    example = json.loads((repository / "digits" / "example.json").read_text())
    image = np.array([example["inputs"][0]["data"]], np.float32)
    _, images, _, labels = script.split_digits()
    assert (image == images[0]).all()
    assert example["id"] == f"a handwritten {labels[0]}"
    (probabilities,) = run(repository / "digits", {"image": image})
    assert probabilities.argmax() == labels[0]


def test_there_is_a_label_for_every_digit(repository: Path) -> None:
    labels = (repository / "digits" / "labels.txt").read_text().splitlines()
    assert (len(labels), labels[0], labels[7]) == (10, "zero", "seven")


def test_simple_adds_and_subtracts(repository: Path) -> None:
    left, right = np.arange(32, dtype=np.int32).reshape(2, 16), np.full((2, 16), 3, np.int32)
    total, difference = run(repository / "simple", {"INPUT0": left, "INPUT1": right})
    assert (total == left + right).all()
    assert (difference == left - right).all()


def test_text_concat_joins_texts(repository: Path) -> None:
    feeds = {name: np.array([[text]], object) for name, text in (("left", "Desp"), ("right", "ína"))}
    assert run(repository / "text_concat", feeds)[0].tolist() == [["Despína"]]


def test_models_suit_the_oldest_supported_runtime_and_stay_small(repository: Path) -> None:
    paths = list(repository.glob("*/1/model.onnx"))
    assert len(paths) == 3
    for path in paths:
        assert path.stat().st_size < 300_000
        assert onnx.load(path).ir_version <= 9


def test_only_models_are_directories() -> None:
    assert {path.name for path in REPOSITORY.iterdir() if path.is_dir()} == {"digits", "simple", "text_concat"}


def test_texts_beside_the_models_are_what_the_script_writes(written: Path) -> None:
    names = ("digits/config.pbtxt", "digits/labels.txt", "digits/example.json", "simple/config.pbtxt")
    assert [(written / name).read_text() for name in names] == [(REPOSITORY / name).read_text() for name in names]
