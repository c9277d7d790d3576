"""What is in a model repository, said at registration; the server's own reading of each configuration."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.stages import poll_stage
from despina.deploy.layout import CONFIG, Layout, ModelFolder, find_repository
from despina.deploy.tree import dangling
from despina.errors import DespinaError, InvalidArgument


@dataclass(frozen=True, slots=True)
class Inspected:
    """One model: its configuration as far as it is known without the model, or what is wrong with it."""

    folder: ModelFolder
    config: ModelConfig | None
    problems: tuple[str, ...]


def inspect_repository(registered: Path) -> list[str]:
    """Checks the repository in a registered folder: shape, configurations, model files. Returns one line per finding,
    warnings last. Raises InvalidArgument: the repository could not be served; the message names every problem."""
    layout = find_repository(registered)
    models = [_inspect(model) for model in layout.models]
    problems = [problem for model in models for problem in model.problems]
    if problems:
        raise InvalidArgument("; ".join(problems))
    return list(_findings(layout, registered, models))


def _inspect(model: ModelFolder) -> Inspected:
    path = model.lifted_config or model.directory / CONFIG
    if not path.is_file():
        return Inspected(model, None, tuple(_missing_files(model)))
    try:
        config = poll_stage(parse_text(path.read_bytes()), model.name, model.directory, strict=False)
    except ValueError as error:
        return Inspected(model, None, (f"model {model.name}: {CONFIG}: {error}",))
    except DespinaError as error:
        return Inspected(model, None, (f"model {model.name}: {CONFIG}: {error.message}",))
    return Inspected(model, config, ())


def _missing_files(model: ModelFolder) -> Iterator[str]:
    # With a configuration the file may have another name, or there may be none (an ensemble).
    for version in model.versions:
        path = model.directory / str(version) / "model.onnx"
        if path.is_symlink() and not path.exists():
            yield f"model {model.name}: version {version}: {dangling(path)}"
        elif not path.exists():
            found = sorted(other.name for other in path.parent.iterdir())
            yield (
                f"model {model.name}: version {version} has no model.onnx and the model no {CONFIG} that names another "
                f"file; found {', '.join(found) or 'nothing'}"
            )


def _findings(layout: Layout, registered: Path, models: list[Inspected]) -> Iterator[str]:
    where = layout.root.relative_to(registered.parent)
    yield f"model repository {where}: {len(models)} model{'s' if len(models) > 1 else ''}"
    for model in models:
        versions = ", ".join(str(version) for version in model.folder.versions)
        plural = "s" if len(model.folder.versions) > 1 else ""
        yield f"  {model.folder.name}: version{plural} {versions} ({_configured(model.config)})"
    for warning in layout.warnings:
        yield f"warning: {warning}"


def _configured(config: ModelConfig | None) -> str:
    if config is None:
        return f"no {CONFIG}, autofill"
    if not config.max_batch_size and not (config.input and config.output):
        return f"{CONFIG}, autofill of what it leaves out"
    batching = ", dynamic batching" if config.HasField("dynamic_batching") else ""
    return f"{CONFIG}: max_batch_size {config.max_batch_size}{batching}"
