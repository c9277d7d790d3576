"""Registering with the checks that a framework deserves: what the command line and the SDK both do."""

from collections.abc import Callable, Sequence
from pathlib import Path

from despina.deploy.inspect import inspect_repository
from despina.deploy.onnx_file import check_onnx_file
from despina.deploy.record import ModelDescription, ModelRecord
from despina.deploy.registry import Registry, check_description
from despina.deploy.tree import check_exists
from despina.errors import InvalidArgument


def parse_model_path(text: str) -> Path:
    """Raises InvalidArgument: it is empty, which as a path would be the current folder."""
    if not text:
        raise InvalidArgument("the model path is empty: name a folder or a file, the current folder is '.'")
    return Path(text)


def register_checked(
    registry: Registry,
    description: ModelDescription,
    path: Path,
    child_paths: Sequence[str] = (),
    progress: Callable[[str], None] = lambda line: None,
) -> ModelRecord:
    """Checks a model repository (framework Multi) or file (Onnx) before a byte is copied, then registers. Raises
    InvalidArgument: the description, the repository or the file is not right. Raises NotFound: there is nothing at
    `path`."""
    check_description(description)
    check_exists(path)
    if description.framework == "Multi" and not child_paths:
        for line in inspect_repository(path.resolve()):
            progress(line)
    if description.framework == "Onnx" and not child_paths:
        check_onnx_file(path)
    return registry.register(description, path, child_paths, progress=lambda file: progress(f"storing {file}"))
