"""Names a configuration may leave out: the model's, its platform and backend, its file (config §1.1, §1.3, §3.2)."""

import logging
from dataclasses import dataclass
from pathlib import Path

from despina.config.proto import ModelConfig, copy_of
from despina.errors import InvalidArgument

_log = logging.getLogger(__name__)

ENSEMBLE = "ensemble"
ONNXRUNTIME = "onnxruntime"

ONNX_SUFFIXES = (".onnx", ".ort")
"""Of model files, as people call them."""


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """What tells a kind of model: the platform's and backend's names and the file the backend looks for."""

    platform: str
    backend: str
    filename: str


FORMATS = (
    ModelFormat("tensorflow_savedmodel", "tensorflow", "model.savedmodel"),
    ModelFormat("tensorflow_graphdef", "tensorflow", "model.graphdef"),
    ModelFormat("tensorrt_plan", "tensorrt", "model.plan"),
    ModelFormat("onnxruntime_onnx", ONNXRUNTIME, "model.onnx"),
    ModelFormat("", "openvino", "model.xml"),
    ModelFormat("pytorch_libtorch", "pytorch", "model.pt"),
    ModelFormat("torch_aoti", "pytorch", "model.pt2"),
    ModelFormat("", "python", "model.py"),
)
"""In the order in which they are tried."""


def complete_names(config: ModelConfig, name: str, directory: Path) -> ModelConfig:
    """A copy of `config` with name, platform, backend and default_model_filename filled in.

    `name` is the model's name in the repository, `directory` holds its version directories. Raises InvalidArgument
    when the configuration names another model or nothing tells the backend.
    """
    completed = copy_of(config)
    if not completed.name:
        completed.name = name
    if completed.name != name:
        raise InvalidArgument(
            f"unexpected directory name '{name}' for model '{completed.name}', directory name must equal model name"
        )
    if completed.platform != ENSEMBLE:
        _complete_backend(completed, directory)
    return completed


def _complete_backend(config: ModelConfig, directory: Path) -> None:
    found = _written_format(config) or _format_on_disk(config, directory)
    if found is not None and not config.backend:
        config.backend = found.backend
    if not (config.backend or config.platform or config.default_model_filename):
        config.backend = _backend_in_name(config.name, directory)
        config.default_model_filename = f"model.{config.backend}"
    _fill_from_backend(config, found)


def _written_format(config: ModelConfig) -> ModelFormat | None:
    """The format that the configuration's own platform or file name implies."""
    if config.backend:
        return None
    for known in FORMATS:
        if (known.platform and config.platform == known.platform) or config.default_model_filename == known.filename:
            return known
    return None


def _format_on_disk(config: ModelConfig, directory: Path) -> ModelFormat | None:
    if config.backend or config.platform or config.default_model_filename:
        return None
    for folder in _folders(directory):
        for known in FORMATS:
            if (folder / known.filename).exists():
                return known
    return None


def _folders(directory: Path) -> list[Path]:
    """Version directories, oldest first, then whatever else is there.

    tritonserver looks only into the directory whose name sorts first, which may be `.cache` or `configs`.
    """
    if not directory.is_dir():
        return []
    folders = sorted(entry for entry in directory.iterdir() if entry.is_dir())
    versions = sorted((f for f in folders if f.name.isdecimal()), key=lambda f: int(f.name))
    return versions + [f for f in folders if not f.name.isdecimal()][:1]


def _backend_in_name(name: str, directory: Path) -> str:
    """`model.custom` asks for the backend `custom`."""
    backend = name.partition(".")[2]
    if not backend:
        _tell_other_place(name, directory)
        raise InvalidArgument(
            f"Invalid model name: Could not determine backend for model '{name}' with no backend in model "
            "configuration. Expected model name of the form 'model.<backend_name>'."
        )
    return backend


def _tell_other_place(name: str, directory: Path) -> None:
    """The error that follows is the real server's, and speaks of the model's name only."""
    found = sorted(path for pattern in ("*/*", "*") for path in directory.glob(pattern) if path.suffix in ONNX_SUFFIXES)
    if found:
        folder = found[0].parent if found[0].parent != directory else directory / "1"
        _log.warning(
            "model '%s': expected %s, found %s: move it there, or, in a version directory, say how it is called in "
            'config.pbtxt: backend: "onnxruntime" default_model_filename: "%s"',
            name,
            folder / "model.onnx",
            found[0],
            found[0].name,
        )


def _fill_from_backend(config: ModelConfig, found: ModelFormat | None) -> None:
    formats = [known for known in FORMATS if known.backend == config.backend]
    if found is None and len(formats) == 1:
        found = formats[0]
    if found is None:
        return
    if not config.platform:
        config.platform = found.platform
    if not config.default_model_filename:
        config.default_model_filename = found.filename
