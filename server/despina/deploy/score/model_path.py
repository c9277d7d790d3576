"""Where a model lies inside a service: `Model.get_model_path(name)` of entry scripts."""

import os
from pathlib import Path

from despina.errors import NotFound

MODELS_FOLDER = "azureml-models"


class ModelNotFoundException(NotFound):
    """No such model beside this script."""


def get_model_path(model_name: str, version: int | None = None) -> str:
    """The registered file or folder of a model, of its newest version unless one is named.

    Looks in `azureml-models/NAME/VERSION/` (in the working folder, then where `AZUREML_MODEL_DIR` points), then for
    `NAME` in the working folder. Raises ModelNotFoundException: none is there, or its folder does not hold exactly one
    entry.
    """
    for root in _roots():
        versions = {int(path.name): path for path in (root / model_name).glob("*") if path.name.isdigit()}
        wanted = version if version is not None else max(versions, default=None)
        if wanted in versions:
            return str(_only_entry(versions[wanted]))
    local = Path(model_name)
    if version is None and local.exists():
        return str(local)
    searched = ", ".join(str(root) for root in _roots())
    raise ModelNotFoundException(f"Model {model_name} not found in cache ({searched}) or in {Path.cwd()}")


def _roots() -> list[Path]:
    roots = [Path(MODELS_FOLDER)]
    given = os.environ.get("AZUREML_MODEL_DIR")
    if given:
        # One model: .../azureml-models/NAME/VERSION. Several: .../azureml-models.
        roots += [Path(given), Path(given).parent.parent]
    return roots


def _only_entry(folder: Path) -> Path:
    entries = sorted(folder.iterdir())
    if len(entries) != 1:
        raise ModelNotFoundException(f"{folder} holds {len(entries)} entries, expected exactly one")
    return entries[0]
