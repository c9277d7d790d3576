"""Starting a server in this process, as far as it gets."""

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.serving import free_port

from despina.errors import Unavailable
from despina.http.listener import bind
from despina.run import bind_grpc, bind_ports, open_ports, serve, served_settings, shut_down
from despina.scheduling.clock import LoopClock
from despina.server import Server
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


def test_a_port_for_grpc_that_is_taken_matters_where_grpc_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with closing(bind("127.0.0.1", 0, False, "other")) as other:
        other.listen()
        place: dict[str, Any] = {"grpc_address": "127.0.0.1", "grpc_port": other.getsockname()[1]}
        assert bind_grpc(Settings(**place)) is None
        (said,) = caplog.messages
        assert said.startswith("gRPC is not served: failed to start GRPC service: Unavailable - Socket '127.0.0.1:")
        assert said.endswith("To have it, name another port with --grpc-port")
        with pytest.raises(Unavailable, match="failed to start GRPC service: Unavailable"):
            bind_grpc(Settings(**place, grpc_required=True))


def test_grpc_that_is_not_installed_matters_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("despina.run.find_spec", {}.get)
    assert bind_grpc(Settings()) is None
    assert caplog.messages == ["gRPC is not served: hpack is not installed. To have it, pip install 'despina[grpc]'"]
    with pytest.raises(Unavailable, match="hpack is not installed"):
        bind_grpc(Settings(grpc_required=True))


@pytest.mark.parametrize("required", [False, True])
async def test_two_servers_may_start_with_one_port_for_grpc(tmp_path: Path, required: bool) -> None:
    """Both have bound it while nobody listened."""
    with closing(bind("127.0.0.1", 0, False, "other")) as other, ExitStack() as sockets:
        settings = Settings(
            model_repository=(tmp_path,),
            allow_http=False,
            allow_metrics=False,
            grpc_address="127.0.0.1",
            grpc_port=other.getsockname()[1],
            grpc_required=required,
        )
        bound = bind_ports(settings, sockets)
        other.listen()
        server = Server(settings, LoopClock(asyncio.get_running_loop()))
        if required:
            with pytest.raises(Unavailable, match="failed to start GRPC service"):
                await open_ports(server, bound)
        else:
            assert await open_ports(server, bound) == []


def test_ports_are_opened_in_the_order_of_tritonserver() -> None:
    with ExitStack() as sockets:
        settings = Settings(http_port=0, grpc_port=0, metrics_port=0)
        assert list(bind_ports(settings, sockets)) == ["GRPC", "HTTP", "Metrics"]
