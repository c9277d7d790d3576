"""The command lines of a service's children."""

import errno
import os
import random
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from despina.deploy.prepare import SOURCE
from despina.deploy.score.model_path import MODELS_FOLDER
from despina.deploy.service import ServiceSpec
from despina.deploy.supervisor.child import Command
from despina.errors import InvalidArgument

HOST = "127.0.0.1"
PROMISED_PORT = 8000
"""Where entry scripts expect the inference server."""

FIRST_PORT, PORTS, TRIES = 20_000, 12_000, 20
"""Below 32768, where the ports of outgoing connections begin on Linux (49152 elsewhere)."""


def server_command(spec: ServiceSpec, repository: Path, port: int) -> Command:
    """The inference server on a loopback port."""
    words = [sys.executable, "-P", "-m", "despina", "serve", f"--model-repository={repository}"]
    words += [f"--http-address={HOST}", f"--http-port={port}", "--allow-metrics=false", "--allow-grpc=false"]
    return Command("the inference server", words, _inherited(), repository)


def score_command(spec: ServiceSpec, app_root: Path, port: int, server_port: int | None) -> Command:
    """The score workers on a loopback port."""
    words = [sys.executable, "-P", "-m", "despina.deploy.score", f"{HOST}:{port}"]
    environment = {**_inherited(), **script_variables(spec, app_root, server_port)}
    return Command("the score workers", words, environment, app_root)


def script_variables(spec: ServiceSpec, app_root: Path, server_port: int | None) -> dict[str, str]:
    """What score workers are told, on a machine and in a pod; what the environment of the service says wins.
    `server_port` is that of the inference server beside them, if there is one."""
    assert spec.script is not None
    variables = {
        "AML_APP_ROOT": str(app_root),
        "AZUREML_SOURCE_DIRECTORY": SOURCE,
        "AZUREML_ENTRY_SCRIPT": f"{SOURCE}/{spec.script.entry_script}",
        "AZUREML_MODEL_DIR": str(_model_directory(spec, app_root)),
        "SERVICE_NAME": spec.name,
        "SERVICE_PATH_PREFIX": spec.base_path,
    }
    if spec.deployment.scoring_timeout_ms is not None:
        variables["SCORING_TIMEOUT_MS"] = str(spec.deployment.scoring_timeout_ms)
    if server_port is not None:
        variables["TRITON_HTTP_URL"] = f"localhost:{server_port}"
    return {**variables, **spec.script.variables}


def _model_directory(spec: ServiceSpec, app_root: Path) -> Path:
    """One model: its version's folder. Several: the folder above them all."""
    if len(spec.models) == 1:
        name, _, version = spec.models[0].partition(":")
        return app_root / MODELS_FOLDER / name / version
    return app_root / MODELS_FOLDER


def free_port(preferred: int | None = None) -> int:
    """A loopback port that nobody has, `preferred` if it is one.

    Not one of those that the kernel gives to outgoing connections: between our look and the child's bind somebody's
    connection could get it, even our own to that very port while we wait for the child.
    """
    candidates = [preferred] if preferred else []
    candidates += random.sample(range(FIRST_PORT, FIRST_PORT + PORTS), TRIES)
    for port in (*candidates, 0):
        with suppress(OSError):
            return _bound(port)
    raise OSError(f"no free port on {HOST}")


def check_port(port: int) -> None:
    """Raises InvalidArgument: nothing can listen on this loopback port now."""
    try:
        _bound(port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is taken by another process" if taken else f"cannot be had ({error.strerror})"
        raise InvalidArgument(f"port {port} {why}; choose another one") from None


def _bound(port: int) -> int:
    """The port that can be had for this one; another only for 0."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((HOST, port))
        bound: int = one.getsockname()[1]
        return bound


def _inherited() -> Mapping[str, str]:
    """Our environment, unbuffered so that the log is current. WORKER_COUNT and the like are the service's to say."""
    mine = ("AZUREML_", "AML_", "WORKER_", "SERVICE_", "SCORING_", "TRITON_HTTP_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    return {**kept, "PYTHONUNBUFFERED": "1"}
