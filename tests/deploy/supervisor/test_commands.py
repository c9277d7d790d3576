import errno
import os
import socket
import sys
from pathlib import Path

import pytest

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.service import Mode, ScriptSpec, ServiceSpec
from despina.deploy.supervisor.commands import check_port, free_port, score_command, server_command
from despina.errors import InvalidArgument

ROOT = Path("/app")


def service(*models: str, timeout_ms: int | None = None, **variables: str) -> ServiceSpec:
    config = DeploymentConfig(scoring_timeout_ms=timeout_ms)
    return ServiceSpec("svc", 1, Mode.MIDDLEWARE, models, config, ScriptSpec("score.py", variables))


def test_children_listen_on_the_loopback_address_and_import_nothing_from_where_they_are_started() -> None:
    server = server_command(service("m:1"), ROOT, 20_000)
    score = score_command(service("m:1"), ROOT, 20_001, None)
    assert {"--http-address=127.0.0.1", "--http-port=20000", "--allow-metrics=false", "--allow-grpc=false"} <= set(
        server.words
    )
    assert score.words[-1] == "127.0.0.1:20001"
    for command in (server, score):
        assert list(command.words[:3]) == [sys.executable, "-P", "-m"]
        assert command.environment["PYTHONUNBUFFERED"] == "1"


def test_script_is_told_where_it_is_and_what_its_service_says_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKER_COUNT", "SCORING_TIMEOUT_MS", "TRITON_HTTP_URL", "AZUREML_CONFIG_FILE"):
        monkeypatch.setenv(name, "somebody else's")
    monkeypatch.setenv("LANG", "C.UTF-8")
    plain = score_command(service("m:1"), ROOT, 20_001, None).environment
    assert plain.keys().isdisjoint({"WORKER_COUNT", "SCORING_TIMEOUT_MS", "TRITON_HTTP_URL", "AZUREML_CONFIG_FILE"})
    assert plain["LANG"] == "C.UTF-8"
    assert plain["SERVICE_PATH_PREFIX"] == "/api/v1/service/svc"
    said = score_command(service("m:1", timeout_ms=1500, SERVICE_NAME="mine"), ROOT, 20_001, 8000).environment
    assert (said["SCORING_TIMEOUT_MS"], said["TRITON_HTTP_URL"]) == ("1500", "localhost:8000")
    assert said["SERVICE_NAME"] == "mine"


@pytest.mark.parametrize(
    ("models", "folder"), [(["m:3"], "azureml-models/m/3"), (["m:3", "n:1"], "azureml-models"), ([], "azureml-models")]
)
def test_script_finds_its_one_model_or_the_folder_of_all(models: list[str], folder: str) -> None:
    command = score_command(service(*models), ROOT, 20_001, None)
    assert command.environment["AZUREML_MODEL_DIR"] == f"/app/{folder}"


def test_port_is_the_preferred_one_if_nobody_has_it() -> None:
    preferred = free_port()
    assert free_port(preferred) == preferred
    with socket.create_server(("127.0.0.1", preferred)):
        assert free_port(preferred) != preferred


def test_port_is_one_of_the_systems_where_all_others_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(socket.socket):
        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if address[1] != 0:
                raise OSError(errno.EADDRINUSE, "taken")
            super().bind(address)

    monkeypatch.setattr("despina.deploy.supervisor.commands.socket.socket", Taken)
    assert free_port(6789) not in (0, 6789)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EADDRINUSE, "is taken by another process"),
        (errno.EACCES, r"cannot be had \(Permission denied\)"),
    ],
)
def test_port_that_cannot_be_had_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    def bind(one: socket.socket, address: tuple[str, int]) -> None:
        raise OSError(number, os.strerror(number))

    check_port(0)
    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(InvalidArgument, match=f"port 80 {why}; choose another one"):
        check_port(80)
