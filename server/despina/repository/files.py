"""Where the files of a model version are (config §1.3)."""

from pathlib import Path

from despina.config.names import ONNXRUNTIME
from despina.config.proto import ModelConfig
from despina.errors import Internal, Unavailable

DEFAULT_FILENAME = "model.onnx"


def model_file(directory: Path, version: int, config: ModelConfig, compute_capability: str | None = None) -> Path:
    """The file to load for one version of the model in `directory`.

    `compute_capability` ("8.0") of the GPU it is for selects from cc_model_filenames. An ONNX model may be a directory
    that holds `model.onnx` and its external data. Raises Internal when there is no such file, Unavailable when there is
    such a directory without a model in it. For other backends than ONNX Runtime the path is not looked at.
    """
    # A name that begins with "/" is below the directory, too: it may come from a load request.
    path = Path(f"{directory}/{version}/{_filename(config, compute_capability)}")
    if config.backend != ONNXRUNTIME:
        return path
    if path.is_dir():
        path = path / DEFAULT_FILENAME
        if not path.exists():
            raise Unavailable(f"unable to find '{path}' for model instance '{config.name}'")
    elif not path.exists():
        raise Internal(f"failed to stat file {path}")
    return path


def version_files(directory: Path, version: int) -> frozenset[tuple[str, int, int, int]]:
    """Name, inode, size and time of modification of every file of a version: they stay the same as long as the contents
    do. (A stamp sees more: another link to a file, or other permissions, which a poll may well take for a change.)"""
    root = directory / str(version)
    states = [(path.relative_to(root), path.stat()) for path in root.rglob("*") if path.is_file()]
    return frozenset((str(name), state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states)


def _filename(config: ModelConfig, compute_capability: str | None) -> str:
    special = config.cc_model_filenames.get(compute_capability) if compute_capability else None
    return special or config.default_model_filename or DEFAULT_FILENAME
