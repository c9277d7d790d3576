import shutil
from pathlib import Path

import pytest

from despina.config.proto import ModelConfig
from despina.config.read import read_config
from despina.tuning.write import config_text, write_config, written_config


def test_the_old_file_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text("# mine\nmax_batch_size: 2\n")
    path, kept = write_config(ModelConfig(max_batch_size=8), tmp_path)
    assert kept is not None
    assert kept.read_text() == "# mine\nmax_batch_size: 2\n"
    assert read_config(path).max_batch_size == 8
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.pbtxt", "config.pbtxt.bak"]


def test_what_was_kept_before_is_kept_too_and_so_are_the_permissions(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text("# mine\nmax_batch_size: 2\n")
    (tmp_path / "config.pbtxt").chmod(0o640)
    for size in (4, 8):
        write_config(ModelConfig(max_batch_size=size), tmp_path)
    texts = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert texts == {
        "config.pbtxt": "max_batch_size: 8\n",
        "config.pbtxt.bak": "# mine\nmax_batch_size: 2\n",
        "config.pbtxt.bak1": "max_batch_size: 4\n",
    }
    assert (tmp_path / "config.pbtxt").stat().st_mode & 0o777 == 0o640


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_text("half of i")
        raise OSError(28, "No space left on device")

    (tmp_path / "config.pbtxt").write_text("max_batch_size: 2\n")
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space left"):
        write_config(ModelConfig(max_batch_size=8), tmp_path)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"config.pbtxt": "max_batch_size: 2\n"}


def test_without_an_old_file_nothing_is_kept(tmp_path: Path) -> None:
    assert write_config(ModelConfig(), tmp_path)[1] is None


def test_the_text_ends_its_last_line() -> None:
    assert config_text(ModelConfig(name="m")) == 'name: "m"\n'


def test_a_configuration_is_taken_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text("max_batch_size: 2")
    assert written_config("m", tmp_path) == ModelConfig(max_batch_size=2)


def test_without_one_the_files_say_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"")
    config = written_config("m", tmp_path)
    assert (config.name, config.backend) == ("m", "onnxruntime")
