"""The app root of one generation: its models laid out, its source directory copied.

azureml-models/NAME/VERSION/TOP   each model, of hard links into the registry
model-repository/MODEL            links to the model folders the inference server serves
source/                           a copy of the source directory
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from despina.deploy.blobs import Blobs
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.layout import find_repository, put_configs_right
from despina.deploy.materialise import link_model
from despina.deploy.record import ModelRecord
from despina.deploy.score.model_path import MODELS_FOLDER
from despina.deploy.service import SERVED
from despina.deploy.tree import dangling
from despina.errors import InvalidArgument

REPOSITORY = "model-repository"
SOURCE = "source"


def prepare_generation(
    root: Path, blobs: Blobs, records: Sequence[ModelRecord], inference: InferenceSpec | None
) -> list[str]:
    """Fills the folder `root`, or leaves nothing. Returns what the user should know. Raises InvalidArgument: the models
    cannot be served together."""
    shutil.rmtree(root, ignore_errors=True)  # left by a deployment that died
    try:
        warnings = _lay_out(root, blobs, records)
        if inference is not None:
            copy_source(inference.source_directory, root / SOURCE)
        return warnings
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise


def copy_source(source: Path, target: Path) -> None:
    """Copies a source directory as it is deployed: links followed, without what no script needs. Raises
    InvalidArgument: something in it cannot be copied."""
    try:
        # A source directory that holds the home directory would be copied into itself.
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".despina", ".git"))
    except shutil.Error as error:
        # It goes on to the end and then has a list of all that failed; the first is enough to begin with.
        path, _, reason = error.args[0][0]
        raise InvalidArgument(f"source directory {source}: {_uncopied(Path(path), reason)}") from None


def _uncopied(path: Path, reason: str) -> str:
    for folder in reversed(path.parents):
        if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
            return f"{folder} is a link to a folder that contains it ({folder.resolve()}); remove the link"
    if path.is_symlink() and not path.exists():
        return dangling(path)
    if not (path.is_file() or path.is_dir()):
        return f"{path} is neither a file nor a folder; remove it"
    return f"{path} cannot be copied: {reason}"


def _lay_out(root: Path, blobs: Blobs, records: Sequence[ModelRecord]) -> list[str]:
    warnings: list[str] = []
    (root / REPOSITORY).mkdir(parents=True)
    for record in records:
        top = link_model(blobs, record, root / MODELS_FOLDER / record.name / str(record.version))
        if record.description.framework in SERVED:
            warnings += _publish(root / REPOSITORY, top, record)
    return warnings


def _publish(repository: Path, top: Path, record: ModelRecord) -> tuple[str, ...]:
    onnx = _single_onnx(top) if record.description.framework == "Onnx" else None
    if onnx is not None:
        version = repository / record.name / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").hardlink_to(onnx)
        return ()
    layout = find_repository(top)
    put_configs_right(layout)
    for model in layout.models:
        place = repository / model.name
        if place.exists():
            raise InvalidArgument(f"model {record.id}: {model.name} is in another model of this service too")
        place.symlink_to(model.directory)
    return layout.warnings


def _single_onnx(top: Path) -> Path | None:
    """The model of a registered file, or of a folder with one ONNX file in it."""
    if top.is_file():
        return top
    found = sorted(top.glob("*.onnx"))
    return found[0] if len(found) == 1 else None
