"""What is in a model repository, said at registration."""

from collections.abc import Iterator
from pathlib import Path

from despina.deploy.layout import CONFIG, Layout, ModelFolder, find_repository
from despina.errors import InvalidArgument


def inspect_repository(registered: Path) -> list[str]:
    """Checks the repository in a registered folder: shape, model files.

    Returns:
        One line per finding, warnings last.

    Raises:
        InvalidArgument: the repository could not be served; the message names every problem.
    """
    layout = find_repository(registered)
    problems = [problem for model in layout.models for problem in _problems(model)]
    if problems:
        raise InvalidArgument("; ".join(problems))
    return list(_findings(layout, registered))


def _findings(layout: Layout, registered: Path) -> Iterator[str]:
    where = layout.root.relative_to(registered.parent)
    count = len(layout.models)
    yield f"model repository {where}: {count} model{'s' if count > 1 else ''}"
    for model in layout.models:
        versions = ", ".join(str(version) for version in model.versions)
        config = CONFIG if model.lifted_config or (model.directory / CONFIG).exists() else f"no {CONFIG}, autofill"
        yield f"  {model.name}: version{'s' if len(model.versions) > 1 else ''} {versions} ({config})"
    for warning in layout.warnings:
        yield f"warning: {warning}"


def _problems(model: ModelFolder) -> Iterator[str]:
    if (model.directory / CONFIG).exists() or model.lifted_config is not None:
        return  # the configuration may name another file, or be an ensemble without any
    for version in model.versions:
        if not (model.directory / str(version) / "model.onnx").exists():
            found = sorted(path.name for path in (model.directory / str(version)).iterdir())
            yield (
                f"model {model.name}: version {version} has no model.onnx and the model no {CONFIG} that names another "
                f"file; found {', '.join(found) or 'nothing'}"
            )
