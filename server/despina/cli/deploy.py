"""`despina model deploy`: a service of registered models."""

import json
from pathlib import Path
from typing import Any

import click

from despina.cli.cloud import Command, cloud_options
from despina.cli.open_home import COLUMNS, OpenHome
from despina.cli.records import output_option, parse_pairs, parse_text, progress, reported, show
from despina.deploy.config_file import read_config_file
from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import (
    COMPUTE_TYPES,
    CheckedConfig,
    DeploymentConfig,
    override,
    parse_deployment_config,
)
from despina.deploy.entry_script import InferenceSpec, check_inference, parse_inference_config
from despina.deploy.environment import find_environment
from despina.deploy.home import Home
from despina.errors import InvalidArgument

FLAGS: tuple[tuple[tuple[str, ...], str, Any], ...] = (
    (("--compute-type", "--cp"), "compute_type", click.Choice(COMPUTE_TYPES, case_sensitive=False)),
    (("--port", "--po"), "port", int),
    (("--compute-target", "--ct"), "compute_target_name", str),
    (("--namespace",), "namespace", str),
    (("--auth-enabled", "--ae"), "auth_enabled", bool),
    (("--token-auth-enabled",), "token_auth_enabled", bool),
    (("--primary-key", "--kp"), "primary_key", str),
    (("--secondary-key", "--ks"), "secondary_key", str),
    (("--cpu-cores", "--cc"), "cpu_cores", float),
    (("--cpu-cores-limit", "--ccl"), "cpu_cores_limit", float),
    (("--memory-gb", "--gb"), "memory_gb", float),
    (("--memory-gb-limit", "--gbl"), "memory_gb_limit", float),
    (("--gpu-cores", "--gc"), "gpu_cores", int),
    (("--num-replicas", "--nr"), "num_replicas", int),
    (("--autoscale-enabled", "--as"), "autoscale_enabled", bool),
    (("--autoscale-min-replicas", "--mi"), "autoscale_min_replicas", int),
    (("--autoscale-max-replicas", "--ma"), "autoscale_max_replicas", int),
    (("--autoscale-target-utilization", "--at"), "autoscale_target_utilization", int),
    (("--autoscale-refresh-seconds", "--ar"), "autoscale_refresh_seconds", float),
    (("--replica-max-concurrent-requests", "--rm"), "replica_max_concurrent_requests", int),
    (("--max-request-wait-time", "--mr"), "max_request_wait_time", int),
    (("--scoring-timeout-ms", "--tm"), "scoring_timeout_ms", int),
    (("--period-seconds", "--ps"), "period_seconds", int),
    (("--initial-delay-seconds", "--id"), "initial_delay_seconds", int),
    (("--timeout-seconds", "--ts"), "timeout_seconds", int),
    (("--success-threshold", "--st"), "success_threshold", int),
    (("--failure-threshold", "--ft"), "failure_threshold", int),
)
"""Every field of the deployment configuration also has a flag, which wins over the file."""

CLOUD = (
    ("--app-insights-enabled", "--ai"),
    ("--collect-model-data", "--md"),
    ("--ssl-enabled", "--se"),
    ("--ssl-cname", "--sc"),
    ("--ssl-cert-file", "--sp"),
    ("--ssl-key-file", "--sk"),
    ("--version-name", "--vn"),
    ("--traffic-percentile", "--tp"),
)


def deployment_options(command: Command) -> Command:
    """The flags of the deployment configuration's fields."""
    for names, field, kind in reversed(FLAGS):
        command = click.option(*names, field, type=kind, hidden=field not in ("port", "compute_target_name"))(command)
    return cloud_options(*CLOUD)(command)


def script_options(command: Command) -> Command:
    """The files that say on what and with which script, and the flags instead of them."""
    path = click.Path(path_type=Path, dir_okay=False)
    for names, field, kind, help_text in (
        (("--dc", "--deploy-config-file"), "deploy_config_file", path, "deploymentconfig.json"),
        (("--ic", "--inference-config-file"), "inference_config_file", path, "inference-config.json"),
        (("--es", "--entry-script"), "entry_script", str, "Instead of --ic, or of the one in it."),
        (("--sd", "--source-directory"), "source_directory", str, "The entry script's folder."),
        (("-e", "--environment-name"), "environment_name", str, "Environment of the entry script."),
        (("--ev", "--environment-version"), "environment_version", str, "The newest where none is named."),
    ):
        command = click.option(*names, field, type=kind, help=help_text)(command)
    return command


@click.command()
@click.option("--name", "-n", required=True, help="Name of the service.")
@click.option("--model", "-m", "models", multiple=True, metavar="NAME[:VERSION]", help="Registered model; repeatable.")
@click.option("--model-metadata-file", "-f", type=click.Path(path_type=Path, dir_okay=False), help="Of `register -t`.")
@script_options
@click.option("--overwrite", is_flag=True, help="Replace a service of that name, without a pause.")
@click.option("--no-wait", is_flag=True, help="Return before the service answers.")
@click.option(
    "--render",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the manifests for --compute-target there, apply nothing, start nothing.",
)
@click.option("--description", "-d", default="", callback=parse_text)
@click.option("--tag", "tags", multiple=True, callback=parse_pairs, help="KEY=VALUE; repeatable.")
@click.option("--property", "properties", multiple=True, callback=parse_pairs, help="KEY=VALUE; repeatable.")
@deployment_options
@output_option
def deploy(
    name: str,
    models: tuple[str, ...],
    model_metadata_file: Path | None,
    deploy_config_file: Path | None,
    inference_config_file: Path | None,
    entry_script: str | None,
    source_directory: str | None,
    environment_name: str | None,
    environment_version: str | None,
    overwrite: bool,
    no_wait: bool,
    render: Path | None,
    description: str,
    tags: dict[str, str],
    properties: dict[str, str],
    output: str,
    **fields: Any,
) -> None:
    """Start a service of registered models, with or without an entry script."""
    with reported():
        opened = OpenHome()
        inference = read_inference(
            opened.home, inference_config_file, entry_script, source_directory, environment_name, environment_version
        )
        request = DeployRequest(
            name=name,
            models=[*models, *_metadata(model_metadata_file)],
            deployment=read_deployment(deploy_config_file, fields),
            inference=inference,
            overwrite=overwrite,
            description=description,
            tags=tags,
            properties=properties,
        )
        if render is not None:
            click.echo(json.dumps([str(path) for path in opened.services.render(request, render, progress)], indent=2))
            return
        opened.services.deploy(request, progress)
        if not no_wait:
            opened.wait(name)
        show(opened.describe(name), output, COLUMNS)


def read_deployment(path: Path | None, flags: dict[str, Any]) -> DeploymentConfig:
    """The file, if there is one, and the flags on top; warnings go to stderr."""
    checked = CheckedConfig(DeploymentConfig())
    if path is not None:
        file = read_config_file(path)
        checked = parse_deployment_config(file.content, str(path))
        _warn(file.warnings)
    _warn(checked.warnings)
    merged = override(checked.config, flags)
    if path is not None:
        _warn(merged.warnings)
    return merged.config


def read_inference(
    home: Home, path: Path | None, script: str | None, source: str | None, environment: str | None, version: str | None
) -> InferenceSpec | None:
    """The script and its environment; None where nothing was said about a script. Flags win over the file. Raises
    InvalidArgument: an environment or a source directory without a script, or the version of no environment."""
    if version is not None and not environment:
        raise InvalidArgument(f"--environment-version {version} is that of no environment: give --environment-name too")
    found = find_environment(home, environment, version) if environment else None
    if path is not None:
        file = read_config_file(path)
        flags = {"entryScript": script, "sourceDirectory": None if source is None else str(Path(source).resolve())}
        given = {key: value for key, value in flags.items() if value is not None}
        _warn(file.warnings)
        doubled = [key for key in (*given, *(["environment"] if found else [])) if key in file.content]
        _warn(tuple(f"{key}: the flag wins over the configuration file" for key in doubled))
        spec = parse_inference_config(file.content | given, path.resolve().parent, str(path))
        _warn(spec.warnings)
        return spec if found is None else InferenceSpec(spec.entry_script, spec.source_directory, found)
    if script is not None:
        return check_inference(InferenceSpec(script, Path(source or ".").resolve(), found))
    if found is not None:
        raise InvalidArgument(f"environment {found.name} is for an entry script: give --ic or --entry-script too")
    if source is not None:
        raise InvalidArgument(f"source directory {source} is for an entry script: give --ic or --entry-script too")
    return None


def _metadata(path: Path | None) -> list[str]:
    if path is None:
        return []
    identifier = read_config_file(path).content.get("modelId")
    if not isinstance(identifier, str):
        got = "none" if identifier is None else json.dumps(identifier)
        raise InvalidArgument(
            f'{path}: expected "modelId": "NAME:VERSION", as `despina model register -t` writes it, got {got}'
        )
    return [identifier]


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        progress(f"warning: {warning}")
