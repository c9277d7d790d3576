"""Where the model repository is in a registered folder, and what is in it.

Three shapes occur: a folder that holds `triton/` (at once or one level down), the folder `triton` itself, and a folder
with the models directly below it. A model is a folder `NAME/` with at least one version folder `NAME/<digits>/`.

The usual drawing of the first shape puts the configuration beside the model file, in the version folder. It belongs
one level up. `lifted_config` is such a misplaced `config.pbtxt` where the model folder has none: a service puts it
where it belongs, and the user is told.
"""

import filecmp
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from despina.errors import InvalidArgument

FOLDER = "triton"
CONFIG = "config.pbtxt"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model of a repository: its versions ascending; `lifted_config` as the module says, or None."""

    name: str
    directory: Path
    versions: tuple[int, ...]
    lifted_config: Path | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A model repository: its folder, its models by name, and what the user should know."""

    root: Path
    models: tuple[ModelFolder, ...]
    warnings: tuple[str, ...] = ()


def find_repository(registered: Path) -> Layout:
    """The model repository in (or at) a registered folder. Raises InvalidArgument: there is none, or a misplaced
    configuration is ambiguous."""
    root = _find_root(registered)
    models = tuple(_read_model(folder) for folder in sorted(root.iterdir()) if _is_model(folder))
    if not models:
        raise InvalidArgument(
            f"{root} holds no model: expected NAME/VERSION/model.onnx with a number for VERSION, e.g. "
            f"{root.name}/my_model/1/model.onnx"
        )
    return Layout(root, models, tuple(_warnings(models)))


def put_configs_right(layout: Layout) -> None:
    """Gives each model folder its misplaced configuration, by hard link, in a tree that is ours to change."""
    for model in layout.models:
        if model.lifted_config is not None:
            (model.directory / CONFIG).hardlink_to(model.lifted_config)


def _find_root(registered: Path) -> Path:
    if not registered.is_dir():
        raise InvalidArgument(
            f"{registered.name} is a file; framework Multi means a folder that holds a model repository "
            f"({FOLDER}/NAME/VERSION/model.onnx), a single file is framework Onnx"
        )
    if registered.name == FOLDER:
        return registered
    deeper = sorted(path for path in registered.glob(f"*/{FOLDER}") if path.is_dir() and not _is_model(path.parent))
    for candidate in (registered / FOLDER, *deeper[:1]):
        if candidate.is_dir() and not _is_model(candidate):
            return candidate
    if any(_is_model(folder) for folder in registered.iterdir()):
        return registered
    if _is_model(registered):
        raise InvalidArgument(
            f"{registered.name} is one model, not a model repository; register the folder that contains it"
        )
    raise InvalidArgument(
        f"no model repository in {registered.name}: expected {registered.name}/{FOLDER}/NAME/VERSION/model.onnx "
        f"or {registered.name}/NAME/VERSION/model.onnx; found {_seen(registered)}"
    )


def _seen(folder: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "nothing"


def _versions(folder: Path) -> Iterator[int]:
    for path in folder.iterdir():
        # The server takes decimal numbers without leading zeros for versions, and nothing else.
        if path.is_dir() and path.name.isascii() and path.name.isdigit() and path.name == str(int(path.name)):
            yield int(path.name)


def _is_model(folder: Path) -> bool:
    return folder.is_dir() and any(True for _ in _versions(folder))


def _read_model(folder: Path) -> ModelFolder:
    versions = tuple(sorted(_versions(folder)))
    lifted = None if (folder / CONFIG).exists() else _misplaced(folder)
    return ModelFolder(folder.name, folder, versions, lifted)


def _misplaced(folder: Path) -> Path | None:
    found = sorted(path for path in folder.glob(f"*/{CONFIG}") if path.parent.name.isdigit())
    if any(not filecmp.cmp(found[0], other, shallow=False) for other in found[1:]):
        raise InvalidArgument(
            f"model {folder.name}: the version folders hold different {CONFIG} files; "
            f"one configuration covers all versions: put it at {folder.name}/{CONFIG}"
        )
    return found[0] if found else None


def _warnings(models: tuple[ModelFolder, ...]) -> Iterator[str]:
    for model in models:
        if model.lifted_config is not None:
            place = f"{model.name}/{model.lifted_config.parent.name}/{CONFIG}"
            yield f"model {model.name}: {place} is used, but its place is {model.name}/{CONFIG}"
            continue
        for path in sorted(model.directory.glob(f"*/{CONFIG}")):
            yield f"model {model.name}: {path.parent.name}/{CONFIG} is ignored, {model.name}/{CONFIG} counts"
