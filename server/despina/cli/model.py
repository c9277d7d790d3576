"""`despina model`: registered models."""

import json
import os
from pathlib import Path

import click

from despina.cli.cloud import cloud_options
from despina.cli.deploy import deploy
from despina.cli.records import (
    check_can_be_made,
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
from despina.deploy.home import find_home
from despina.deploy.materialise import copy_model
from despina.deploy.record import FRAMEWORKS, ModelDescription, Resources
from despina.deploy.reference import ModelReference, parse_reference
from despina.deploy.registration import parse_model_path, register_checked
from despina.deploy.registry import Registry
from despina.deploy.services import Services

COLUMNS = ("id", "framework", "createdTime", "size", "tags", "description")

id_option = click.option("--model-id", "-i", "identifier", required=True, metavar="NAME[:VERSION]")


def open_registry(*, create: bool = False) -> Registry:
    """The registry of `$DESPINA_HOME`, or of the nearest `.despina/`."""
    return Registry(find_home(os.environ, Path(), create=create))


@click.group()
def model() -> None:
    """Register models, look at them, deploy them, delete them."""


model.add_command(deploy)


@model.command()
@click.option("--name", "-n", required=True, help="Name; registering it again makes the next version.")
@click.option("--model-path", "-p", required=True, type=click.Path(), help="Folder or file.")
@click.option("--model-framework", default="Custom", type=click.Choice(FRAMEWORKS, case_sensitive=False))
@click.option("--model-framework-version", callback=parse_text)
@click.option("--description", "-d", default="", callback=parse_text)
@click.option("--tag", "tags", multiple=True, callback=parse_pairs, help="KEY=VALUE, can change later; repeatable.")
@click.option(
    "--property", "properties", multiple=True, callback=parse_pairs, help="KEY=VALUE, never changes; repeatable."
)
@click.option("--cpu-cores", "--cc", type=float, help="Default for services of this model.")
@click.option("--memory-gb", "--gb", type=float, help="Default for services of this model.")
@click.option("--gpu-cores", "--gc", type=int, help="Default for services of this model.")
@click.option("--output-metadata-file", "-t", type=click.Path(path_type=Path, dir_okay=False, writable=True))
@output_option
@cloud_options(
    ("--asset-path",),
    ("--experiment-name",),
    ("--run-id", "-r"),
    ("--run-metadata-file", "-f"),
    ("--sample-input-dataset-id",),
    ("--sample-output-dataset-id",),
)
def register(
    name: str,
    model_path: str,
    model_framework: str,
    model_framework_version: str | None,
    description: str,
    tags: dict[str, str],
    properties: dict[str, str],
    cpu_cores: float | None,
    memory_gb: float | None,
    gpu_cores: int | None,
    output_metadata_file: Path | None,
    output: str,
) -> None:
    """Store a folder or file as the next version of a model."""
    said = ModelDescription(
        name=name,
        framework=model_framework,
        framework_version=model_framework_version,
        description=description,
        tags=tags,
        properties=properties,
        resources=Resources(cpu_cores, memory_gb, gpu_cores),
    )
    with reported():
        path = parse_model_path(model_path)
        if output_metadata_file is not None:
            check_can_be_made(output_metadata_file)  # before there is a version that nobody asks for
        record = register_checked(open_registry(create=True), said, path, progress=progress)
        progress(f"registered {record.id}")
        if output_metadata_file is not None:
            output_metadata_file.write_text(json.dumps({"modelId": record.id}) + "\n")
    show(record.to_json(), output, COLUMNS)


@model.command("list")
@click.option("--model-name", "--name", "-n", "name", help="Only versions of this name.")
@click.option("--latest", "-l", is_flag=True, help="Only the newest version of each name.")
@click.option("--tag", "tags", multiple=True, callback=parse_filters, help="KEY or KEY=VALUE; repeatable.")
@click.option("--property", "properties", multiple=True, callback=parse_filters, help="KEY or KEY=VALUE; repeatable.")
@output_option
@cloud_options(("--run-id", "-r"), ("--dataset-id",))
def list_models(
    name: str | None,
    latest: bool,
    tags: list[tuple[str, str | None]],
    properties: list[tuple[str, str | None]],
    output: str,
) -> None:
    """List registered models, newest version first."""
    with reported():
        records = open_registry().find(name, tags=tags, properties=properties, latest=latest)
    show_all([record.to_json() for record in records], output, COLUMNS)


@model.command("show")
@click.option("--model-id", "-i", "identifier", metavar="NAME[:VERSION]")
@click.option("--model-name", "--name", "-n", "name", callback=parse_text)
@click.option("--version", type=click.IntRange(min=1))
@output_option
@cloud_options(("--run-id", "-r"))
def show_model(identifier: str | None, name: str | None, version: int | None, output: str) -> None:
    """Show one model and its files; the newest version where none is named."""
    if (identifier is None) == (name is None):
        raise click.UsageError("give either --model-id NAME[:VERSION] or --name NAME [--version VERSION]")
    with reported():
        reference = parse_reference(identifier) if identifier else ModelReference(name or "", version)
        record = open_registry().get(reference)
    files = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in record.files]
    show({**record.to_json(), "files": files}, output, COLUMNS)


@model.command()
@id_option
@click.option("--target-dir", "-t", required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@output_option
@cloud_options()
def download(identifier: str, target_dir: Path, overwrite: bool, output: str) -> None:
    """Copy a model's files into a folder."""
    with reported():
        registry = open_registry()
        record = registry.get(parse_reference(identifier))
        path = copy_model(registry.blobs, record, target_dir, overwrite=overwrite)
    show({"id": record.id, "downloadPath": str(path)}, output, ("id", "downloadPath"))


@model.command()
@id_option
@click.option("--description", "-d", callback=parse_text)
@click.option(
    "--add-tag", "add_tags", multiple=True, callback=parse_pairs, help="KEY=VALUE, added or changed; repeatable."
)
@click.option("--remove-tag", "remove_tags", multiple=True, metavar="KEY", callback=parse_keys, help="Repeatable.")
@click.option("--add-property", "add_properties", multiple=True, callback=parse_pairs, help="KEY=VALUE; repeatable.")
@output_option
@cloud_options()
def update(
    identifier: str,
    description: str | None,
    add_tags: dict[str, str],
    remove_tags: tuple[str, ...],
    add_properties: dict[str, str],
    output: str,
) -> None:
    """Change a model's description and tags, add properties."""
    with reported():
        record = open_registry().update(
            parse_reference(identifier),
            description=description,
            add_tags=add_tags,
            remove_tags=remove_tags,
            add_properties=add_properties,
        )
    show(record.to_json(), output, COLUMNS)


@model.command()
@id_option
@output_option
@cloud_options()
def delete(identifier: str, output: str) -> None:
    """Delete a version. Its number is never used again; `gc` frees the disk."""
    with reported():
        home = find_home(os.environ, Path())
        record = Services(home, Registry(home)).delete_model(parse_reference(identifier))
    progress(f"deleted {record.id}")
    show(record.to_json(), output, COLUMNS)


@model.command()
@output_option
def gc(output: str) -> None:
    """Free the disk space of deleted models and of registrations that died half-way."""
    with reported():
        removed = open_registry().collect()
    show({"files": removed.files, "size": removed.size}, output, ("files", "size"))
