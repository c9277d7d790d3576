"""Label files: what the classes of an output are called (config §1.5)."""

import os
from pathlib import Path

from despina.config.proto import ModelConfig
from despina.errors import Internal, Unsupported


def read_labels(directory: Path, config: ModelConfig) -> dict[str, list[str]]:
    """Output name → labels, index = line number, for every output with a label_filename.

    Raises Unsupported for a path that leaves the model directory, Internal for a file that cannot be read and for an
    output that has two.
    """
    labels: dict[str, list[str]] = {}
    for output in config.output:
        if output.label_filename:
            path = _label_path(directory, output.label_filename, output.name, config.name)
            if output.name in labels:
                raise Internal(f"multiple label files for '{output.name}'")
            labels[output.name] = _read(path)
    return labels


def _label_path(directory: Path, filename: str, output: str, model: str) -> Path:
    # By name only: a link placed in the directory is its owner's own choice, a name may come from a load request.
    relative = os.path.normpath(filename)
    if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir:
        raise Unsupported(
            f"label file path '{filename}' for output '{output}' in model '{model}' is outside model directory"
        )
    return directory / relative


def _read(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise Internal(f"failed to open text file for read {path}: {error.strerror}") from error
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines
