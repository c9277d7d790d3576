"""`despina service`: deployed services."""

import os
from pathlib import Path
from typing import Any

import click

from despina.cli.cloud import cloud_options
from despina.cli.deploy import deployment_options, read_deployment, read_inference, script_options
from despina.cli.open_home import COLUMNS, OpenHome
from despina.cli.records import (
    output_option,
    parse_filters,
    parse_keys,
    parse_pairs,
    parse_text,
    progress,
    reported,
    show,
    show_all,
)
from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import override
from despina.deploy.label_change import LabelChange
from despina.deploy.registry import Filter, fits_filters
from despina.deploy.scoring import post_input
from despina.deploy.service import Mode, State
from despina.deploy.service_record import describe, uri_of_script

name_option = click.option("--name", "-n", required=True, help="Name of the service.")


@click.group()
def service() -> None:
    """Look at services, call them, change them, delete them."""


@service.command("show")
@name_option
@output_option
@cloud_options()
def show_service(name: str, output: str) -> None:
    """Show a service: its state, its URIs, its models."""
    with reported():
        show(OpenHome().describe(name), output, COLUMNS)


@service.command("list")
@click.option("--model-name", help="Only services of this model.")
@click.option("--model-id", help="Only services of this version, NAME:VERSION.")
@click.option("--compute-type", "-c", help="Only services of this type, as `service show` has it.")
@click.option("--tag", "tags", multiple=True, callback=parse_filters, help="KEY or KEY=VALUE; repeatable.")
@click.option("--property", "properties", multiple=True, callback=parse_filters, help="KEY or KEY=VALUE; repeatable.")
@output_option
@cloud_options()
def list_services(
    model_name: str | None,
    model_id: str | None,
    compute_type: str | None,
    tags: list[Filter],
    properties: list[Filter],
    output: str,
) -> None:
    """List services."""
    with reported():
        opened = OpenHome()
        records = [describe(spec, state, opened.home.name) for spec, state in opened.services.all()]
    fitting = [
        record
        for record in records
        if model_id in (None, *record["models"])
        and model_name in (None, *(one.partition(":")[0] for one in record["models"]))
        and (compute_type is None or compute_type.upper() == record["computeType"])
        and fits_filters(record["tags"], tags)
        and fits_filters(record["properties"], properties)
    ]
    for record in fitting:
        if record["state"] == State.DAMAGED.value:
            progress(f"warning: service {record['name']}: {record['error']}")
    show_all(fitting, output, COLUMNS)


@service.command("get-keys")
@name_option
@output_option
@cloud_options()
def get_keys(name: str, output: str) -> None:
    """Show the two keys of a service."""
    with reported():
        keys = OpenHome().services.keys(name)
    show(keys.to_json(), output, ("primaryKey", "secondaryKey"))


@service.command("regen-key")
@name_option
@click.option("--key", "-k", required=True, type=click.Choice(["Primary", "Secondary"], case_sensitive=False))
@click.option("--set-key", "-s", help="The new key; made up where none is given.")
@output_option
@cloud_options()
def regen_key(name: str, key: str, set_key: str | None, output: str) -> None:
    """Replace one of the two keys; the other stays valid."""
    with reported():
        keys = OpenHome().services.regenerate_key(name, key, set_key)
    show(keys.to_json(), output, ("primaryKey", "secondaryKey"))


@service.command("get-logs")
@name_option
@click.option("--num-lines", "--lines", "-l", default=5000, show_default=True, type=click.IntRange(min=1))
@click.option("--init", "-i", is_flag=True, expose_value=False, hidden=True, help="That is in the log anyway.")
@cloud_options()
def get_logs(name: str, num_lines: int) -> None:
    """Print the last lines of a service's log."""
    with reported():
        for line in OpenHome().services.log(name, num_lines):
            click.echo(line)


@service.command()
@name_option
@click.option("--input-data", "-d", default="", help="What to post, as it is.")
@cloud_options()
def run(name: str, input_data: str) -> None:
    """Post to the scoring URI and print the answer."""
    with reported():
        opened = OpenHome()
        shown = opened.describe(name)
        uri = uri_of_script(name, Mode(shown["mode"]), shown["scoringUri"])
        key = opened.services.keys(name).primary if shown["authEnabled"] else None
        click.echo(post_input(name, uri, os.fsencode(input_data), key).decode(errors="replace"))


@service.command()
@name_option
@click.option("--model", "-m", "models", multiple=True, metavar="NAME[:VERSION]", help="Instead of those before.")
@script_options
@click.option("--no-wait", is_flag=True)
@click.option("--description", "-d", callback=parse_text)
@click.option("--add-tag", "add_tags", multiple=True, callback=parse_pairs, help="KEY=VALUE; repeatable.")
@click.option("--remove-tag", "remove_tags", multiple=True, metavar="KEY", callback=parse_keys, help="Repeatable.")
@click.option("--add-property", "add_properties", multiple=True, callback=parse_pairs, help="KEY=VALUE; repeatable.")
@deployment_options
@output_option
def update(
    name: str,
    models: tuple[str, ...],
    deploy_config_file: Path | None,
    inference_config_file: Path | None,
    entry_script: str | None,
    source_directory: str | None,
    environment_name: str | None,
    environment_version: str | None,
    no_wait: bool,
    description: str | None,
    add_tags: dict[str, str],
    remove_tags: tuple[str, ...],
    add_properties: dict[str, str],
    output: str,
    **fields: Any,
) -> None:
    """Change a service: what is said about it at once, everything else by a new generation, and both together by it."""
    labels = LabelChange(description, add_tags, remove_tags, add_properties)
    with reported():
        opened = OpenHome()
        spec = labels.applied(opened.services.spec(name))
        inference = read_inference(
            opened.home, inference_config_file, entry_script, source_directory, environment_name, environment_version
        )
        changed = {field: value for field, value in fields.items() if value is not None}
        if models or inference or deploy_config_file or changed:
            deployment = read_deployment(deploy_config_file, fields) if deploy_config_file else None
            request = DeployRequest(
                name,
                models or spec.models,
                deployment or override(spec.deployment, changed).config,
                inference or opened.services.kept_script(name),
                overwrite=True,
                description=spec.description,
                tags=spec.tags,
                properties=spec.properties,
            )
            opened.services.deploy(request, progress)
            if not no_wait:
                opened.wait(name)
        else:
            opened.services.label(name, labels)
        show(opened.describe(name), output, COLUMNS)


@service.command()
@name_option
@output_option
@cloud_options()
def restart(name: str, output: str) -> None:
    """Start the processes of a service again."""
    with reported():
        opened = OpenHome()
        opened.services.restart(name)
        opened.wait(name)
        show(opened.describe(name), output, COLUMNS)


@service.command()
@name_option
@cloud_options()
def delete(name: str) -> None:
    """End a service and remove everything of it; registered models stay."""
    with reported():
        OpenHome().services.delete(name, progress)
    progress(f"deleted service {name}")
