"""Starting a server in this process, as far as it gets."""

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.serving import free_port

from despina.run import serve, served_settings, shut_down
from despina.settings import Settings

REPOSITORY = Path(__file__).parent.parent / "model_repository"


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "missing" / "log"
    assert asyncio.run(serve(Settings(model_repository=(REPOSITORY,), log_file=str(log)))) == 1
    assert capsys.readouterr().err == f"error: {log}: No such file or directory\n"


def test_a_model_that_does_not_load_ends_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m" / "1" / "model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"no model")
    settings = Settings(model_repository=(tmp_path,), http_port=free_port(), allow_metrics=False, allow_grpc=False)
    assert asyncio.run(asyncio.wait_for(serve(settings), 60)) == 1
    assert capsys.readouterr().err.endswith("error: creating server: Internal - failed to load all models\n")


@pytest.mark.parametrize(
    ("path", "left"), [(REPOSITORY, "mine"), (REPOSITORY / "digits", None), (REPOSITORY / "simple/1/model.onnx", None)]
)
def test_a_name_is_for_a_model_that_is_not_in_a_repository(path: Path, left: str | None) -> None:
    with ExitStack() as opened:
        settings = served_settings(Settings(model_repository=(path,), model_name="mine"), opened)
        assert settings.model_name == left
        assert settings.kserve is (left is None)
        if left is None:
            assert [each.name for each in settings.model_repository[0].iterdir()] == ["mine"]


SLOW_TO_LOAD = """
backend: "identity"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
parameters { key: "execute_delay_ms" value { string_value: "60000" } }
model_warmup [ { name: "w" batch_size: 1 inputs { key: "IN" value { data_type: TYPE_FP32 dims: 1 zero_data: true } } } ]
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_to_stop_does_not_load_its_models_to_the_end(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "slow" / "1").mkdir(parents=True)
    (tmp_path / "slow" / "config.pbtxt").write_text(SLOW_TO_LOAD)
    words = [f"--model-repository={tmp_path}", f"--http-port={free_port()}", "--http-address=127.0.0.1"]
    command = [sys.executable, "-m", "despina", "serve", *words, "--allow-metrics=false", "--allow-grpc=false"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            next(line for line in process.stdout if b"'slow'" in line)
            process.send_signal(number)
            assert process.wait(30) == 0
            assert b"Exiting before all models are loaded." in process.stdout.read()
        finally:
            process.kill()


@pytest.mark.parametrize(("requests_end", "status"), [(True, 0), (False, 1)])
def test_the_exit_does_not_wait_for_a_collector_of_traces_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, requests_end: bool, status: int
) -> None:
    answers = threading.Event()
    monkeypatch.setattr("despina.run.LEAST_FOR_TRACES_S", 0.05)
    monkeypatch.setattr("despina.run.leave", sys.exit)

    async def stop(timeout_s: float) -> bool:
        return requests_end

    async def run() -> int:
        stopping: Any = SimpleNamespace(
            settings=Settings(exit_timeout_secs=0),
            models=SimpleNamespace(stop=stop),
            trace=SimpleNamespace(close=lambda: answers.wait(30)),
        )
        try:
            return await shut_down(stopping, ())
        finally:
            assert not answers.is_set()
            answers.set()

    with pytest.raises(SystemExit) as left:
        asyncio.run(run())
    assert left.value.code == status
