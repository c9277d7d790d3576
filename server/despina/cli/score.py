"""`despina score`: one entry script alone, without registry or service."""

import os
from dataclasses import replace
from pathlib import Path

import click

from despina.cli.records import progress, reported
from despina.deploy.score.serve import serve_score
from despina.deploy.score.settings import CONFIG_FILE, read_settings
from despina.errors import NotFound


@click.command()
@click.option("--entry-script", "--entry_script", required=True, help="Script with init() and run().")
@click.option("--model-dir", "--model_dir", help="Becomes AZUREML_MODEL_DIR.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=5001, show_default=True, type=click.IntRange(1, 65535))
@click.option("--health-port", "--health_port", type=click.IntRange(1, 65535), help="A second port, for probes.")
@click.option("--worker-count", "--worker_count", type=click.IntRange(min=1), help="Else WORKER_COUNT, else 1.")
@click.option(
    "--access-control-allow-origins",
    "--access_control_allow_origins",
    help="Comma list of origins, or *. Else AML_CORS_ORIGINS.",
)
@click.option(
    "--config-file", "--config_file", help="JSON file of settings. Else AZUREML_CONFIG_FILE, else config.json."
)
def score(
    entry_script: str,
    model_dir: str | None,
    host: str,
    port: int,
    health_port: int | None,
    worker_count: int | None,
    access_control_allow_origins: str | None,
    config_file: str | None,
) -> None:
    """Serve /score with an entry script: init() once for each worker, run() for each request."""
    given = {
        "AZUREML_ENTRY_SCRIPT": entry_script,
        "AZUREML_MODEL_DIR": model_dir,
        "AML_CORS_ORIGINS": access_control_allow_origins,
        CONFIG_FILE: config_file,
    }
    with reported():
        environment = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
        settings = read_settings(environment, Path.cwd())
        if model_dir is not None and not (settings.app_root / model_dir).is_dir():
            raise NotFound(f"--model-dir: there is no folder {settings.app_root / model_dir}")
        if settings.model_directory is not None:
            os.environ["AZUREML_MODEL_DIR"] = str(settings.model_directory)  # init() reads it there
        settings = replace(settings, worker_count=worker_count or settings.worker_count)
        ports = [port] if health_port is None else [port, health_port]
        address = f"[{host}]" if ":" in host else host  # IPv6
        progress(f"http://{address}:{port}/score, {settings.worker_count} worker(s) of {entry_script}")
        serve_score(settings, [f"{address}:{one}" for one in ports])
