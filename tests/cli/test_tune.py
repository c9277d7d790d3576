import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from despina.cli import tune
from despina.cli.main import cli
from despina.config.read import parse_text, read_config

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "digits", tmp_path / "digits")
    return tmp_path


def run(repository: Path, *words: str):
    line = ["tune", "digits", f"--model-repository={repository}", "--budget-seconds=3", "--max-batch-size=8", *words]
    return CliRunner().invoke(cli, line)


def test_a_model_is_measured_and_its_configuration_printed(repository: Path) -> None:
    start = time.monotonic()
    result = run(repository)
    assert result.exit_code == 0, result.stderr
    assert time.monotonic() - start < 10
    config = parse_text(result.stdout)
    assert config.max_batch_size in (1, 2, 4, 8)
    assert config.instance_group[0].count >= 1
    assert int(config.parameters["intra_op_thread_count"].string_value) >= 1
    assert config.output[0].label_filename == "labels.txt"
    assert "rows/s" in result.stderr
    assert "time(1 instance x 1 threads) = " in result.stderr
    assert not (repository / "digits" / "config.pbtxt.bak").exists()


def test_write_replaces_the_configuration_and_what_it_fixes_is_kept_the_next_time(repository: Path) -> None:
    text = (repository / "digits" / "config.pbtxt").read_text()
    fixed = text + 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }\n'
    (repository / "digits" / "config.pbtxt").write_text(fixed)
    result = run(repository, "--write", "--budget-seconds=1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "wrote " in result.stderr
    assert (repository / "digits" / "config.pbtxt.bak").read_text() == fixed
    config = read_config(repository / "digits" / "config.pbtxt")
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    assert config.instance_group[0].count >= 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--slo-p99-ms=0.000001", "--write"], "nothing was written, because no configuration keeps --slo-p99-ms"),
        (["--slo-p99-ms=nan"], "nan is not a finite number"),
        (["--slo-p99-ms=inf"], "inf is not a finite number"),
        (["--shape=nosuch:3"], "model 'digits' has no input 'nosuch'"),
        (["--shape=nosuch:x"], "is not NAME:DIM[,DIM...]"),
        (["--version=7"], "model 'digits' has no version 7; those selected are: 1"),
    ],
)
def test_what_is_refused(repository: Path, words: list[str], text: str) -> None:
    result = run(repository, *words, "--budget-seconds=1")
    assert result.exit_code != 0
    assert text in result.stderr
    assert not (repository / "digits" / "config.pbtxt.bak").exists()


def test_a_model_file_is_measured_too_but_has_no_configuration_to_write_to(repository: Path) -> None:
    file = repository / "digits" / "1" / "model.onnx"
    result = run(file, "--budget-seconds=1")
    assert result.exit_code == 0, result.stderr
    assert parse_text(result.stdout).max_batch_size >= 1
    refused = run(file, "--budget-seconds=1", "--write")
    assert refused.exit_code == 1
    assert "model.onnx is a model outside of a repository" in refused.stderr


def test_where_the_configuration_cannot_be_written_it_is_printed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "config.pbtxt.new")

    monkeypatch.setattr(tune, "write_config", refuse)
    result = run(repository, "--budget-seconds=1", "--write")
    assert result.exit_code == 1
    assert "config.pbtxt.new: Permission denied" in result.stderr
    assert parse_text(result.stdout).max_batch_size >= 1


def test_a_model_with_a_latency_target_of_its_own_is_said_not_to_keep_to_the_batches(repository: Path) -> None:
    with (repository / "digits" / "config.pbtxt").open("a") as config:
        config.write('parameters { key: "slo_p99_ms" value { string_value: "20" } }\n')
    result = run(repository, "--budget-seconds=1")
    assert result.exit_code == 0, result.stderr
    assert "the parameter slo_p99_ms of the model lets the server choose batches" in result.stderr
    assert parse_text(result.stdout).parameters["slo_p99_ms"].string_value == "20"


def test_several_repositories_are_searched_as_when_they_are_served(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    result = run(repository, f"--model-repository={tmp_path / 'other'}", "--budget-seconds=1")
    assert result.exit_code == 0, result.stderr


def test_a_fixed_number_of_threads_that_is_none_is_refused(repository: Path) -> None:
    with (repository / "digits" / "config.pbtxt").open("a") as config:
        config.write('parameters { key: "intra_op_thread_count" value { string_value: "many" } }\n')
    result = run(repository, "--budget-seconds=1")
    assert result.exit_code == 1
    assert "failed to convert 'many' to integral number" in result.stderr
