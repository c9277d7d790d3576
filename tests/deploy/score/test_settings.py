import json
from pathlib import Path

import pytest

from despina.deploy.score.settings import ScoreSettings, read_settings
from despina.errors import InvalidArgument, NotFound


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    assert read_settings({}, tmp_path) == ScoreSettings(app_root=tmp_path)


def test_paths_are_relative_to_the_app_root(tmp_path: Path) -> None:
    settings = read_settings(
        {"AML_APP_ROOT": "app", "AZUREML_ENTRY_SCRIPT": "src/score.py", "AZUREML_MODEL_DIR": "azureml-models/m/1"},
        tmp_path,
    )
    assert settings.entry_script == tmp_path / "app" / "src" / "score.py"
    assert settings.model_directory == tmp_path / "app" / "azureml-models" / "m" / "1"


def test_environment_wins_over_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"SCORING_TIMEOUT_MS": 1000, "WORKER_COUNT": 2}))
    settings = read_settings({"WORKER_COUNT": "3", "AML_CORS_ORIGINS": "http://a.com, http://b.com"}, tmp_path)
    assert (settings.scoring_timeout_ms, settings.worker_count) == (1000, 3)
    assert settings.cors_origins == ("http://a.com", "http://b.com")


def test_an_empty_settings_file_says_nothing_and_words_are_taken_in_any_form(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    said = {"AZUREML_LOG_LEVEL": "debug", "SERVICE_PATH_PREFIX": "/api/", "WORKER_PRELOAD": "True"}
    settings = read_settings(said, tmp_path)
    assert (settings.log_level, settings.path_prefix, settings.worker_preload) == ("DEBUG", "api", True)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_counts_must_be_positive_integers(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"WORKER_COUNT={value}: expected an integer from 1 up"):
        read_settings({"WORKER_COUNT": value}, tmp_path)


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_broken_settings_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.json").write_text(content)
    with pytest.raises(InvalidArgument, match=r"settings file .*own\.json is not "):
        read_settings({"AZUREML_CONFIG_FILE": str(tmp_path / "own.json")}, tmp_path)


def test_settings_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"settings file .*own\.json does not exist; correct AZUREML_CONFIG_FILE"):
        read_settings({"AZUREML_CONFIG_FILE": str(tmp_path / "own.json")}, tmp_path)
