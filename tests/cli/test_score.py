import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from despina.cli.score import score
from despina.deploy.score.settings import ScoreSettings


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
    assert os.environ["AZUREML_MODEL_DIR"] == str(tmp_path / "models")


@pytest.mark.parametrize(("host", "address"), [("0.0.0.0", "0.0.0.0"), ("::1", "[::1]")])
def test_flags_win_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_COUNT", "2")
    monkeypatch.setenv("AML_CORS_ORIGINS", "*")
    seen: list[tuple[ScoreSettings, list[str]]] = []
    monkeypatch.setattr("despina.cli.score.serve_score", lambda settings, addresses: seen.append((settings, addresses)))
    words = ["--entry-script", "score.py", "--host", host, "--port", "5077", "--health-port", "5078"]
    CliRunner().invoke(score, words)
    CliRunner().invoke(score, [*words, "--worker-count", "3", "--access-control-allow-origins", "http://a,http://b"])
    assert [one.worker_count for one, _ in seen] == [2, 3]
    assert [one.cors_origins for one, _ in seen] == [("*",), ("http://a", "http://b")]
    assert seen[0][1] == [f"{address}:5077", f"{address}:5078"]
