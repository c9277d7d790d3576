from pathlib import Path

import pytest
from click.testing import CliRunner

from despina.cli.score import score


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--config-file", "settings file nowhere does not exist"), ("--model-dir", "--model-dir: there is no folder ")],
)
def test_file_or_folder_that_is_named_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("despina.cli.score.serve_score", lambda settings, listen: None)
    (tmp_path / "score.py").touch()
    result = CliRunner().invoke(score, ["--entry-script", "score.py", flag, "nowhere"])
    assert result.exit_code == 1
    assert words in result.stderr


def test_folder_that_is_there_is_told_to_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AZUREML_MODEL_DIR", "elsewhere")
    seen = []
    monkeypatch.setattr("despina.cli.score.serve_score", lambda settings, listen: seen.append(settings.model_directory))
    (tmp_path / "models").mkdir()
    result = CliRunner().invoke(score, ["--entry-script", "score.py", "--model-dir", "models"])
    assert result.exit_code == 0, result.output
    assert seen == [tmp_path / "models"]
