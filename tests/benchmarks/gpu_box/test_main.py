import signal
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.gpu_box import __main__ as command
from benchmarks.gpu_box.problem import Problem
from click.testing import CliRunner


def test_a_problem_is_one_sentence_and_nothing_runs(tmp_path: Path, monkeypatch) -> None:
    def prepare(folder: Path, work: Path) -> dict[str, str]:
        raise Problem("there is no GPU")

    monkeypatch.setattr(command, "prepare", prepare)
    result = CliRunner().invoke(command.main, [str(tmp_path)])
    assert (result.exit_code, result.stderr) == (1, "Error: there is no GPU\n")


def test_tests_and_benchmark_run_in_the_prepared_environment(tmp_path: Path, monkeypatch) -> None:
    calls: list[tuple[str, object]] = []
    monkeypatch.setattr(command, "prepare", lambda folder, work: {"E": "1"})
    monkeypatch.setattr(command, "run_tests", lambda env, output: calls.append(("tests", env)) or 1)
    monkeypatch.setattr(command, "run_benchmark", lambda env, output, models: calls.append(("bench", models)) or 0)
    words = [str(tmp_path), "--model", "bert_fp16"]
    assert CliRunner().invoke(command.main, words).exit_code == 1
    assert calls == [("tests", {"E": "1"}), ("bench", ("bert_fp16",))]
    calls.clear()
    assert CliRunner().invoke(command.main, [*words, "--only", "check"]).exit_code == 0
    assert calls == []


def test_a_package_that_cannot_be_imported_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libonnxruntime.so: wrong ELF class')")
    with pytest.raises(Problem, match="wrong ELF class"):
        command.cuda_major({"PYTHONPATH": str(tmp_path)})


def test_the_major_version_of_cuda_is_read(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("cuda_version = '13.0'")
    assert command.cuda_major({"PYTHONPATH": str(tmp_path)}) == 13


CALLED = """
import pathlib, time
from benchmarks.signals import end_cleanly

end_cleanly()
try:
    print(1, flush=True)
    time.sleep(30)
finally:
    time.sleep(0.2)
    pathlib.Path({!r}).touch()
"""


def test_what_was_called_may_end_itself_when_the_run_is_ended(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    program = (
        "import os, sys; from benchmarks.gpu_box.__main__ import _call; from benchmarks.signals import end_cleanly; "
        f"end_cleanly(); _call([sys.executable, '-c', {CALLED.format(str(ended))!r}], os.environ)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    assert ended.exists()


def test_reports_go_where_they_are_asked_for_from_anywhere(tmp_path: Path, monkeypatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(command, "_call", lambda words, env: called.append(words) or 0)
    monkeypatch.chdir(tmp_path)
    assert command.run_tests({}, Path("found")) == 0
    assert called[0][-1] == f"--junitxml={tmp_path / 'found' / 'tests.xml'}"
