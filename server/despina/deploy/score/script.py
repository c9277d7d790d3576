"""An entry script: loaded, checked, and how its run() wants its input."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from despina.deploy.score.inputs import ReadArguments, as_arguments, as_text
from despina.deploy.score.rawhttp import is_raw

HEADERS = "request_headers"


class ScriptError(Exception):
    """The script cannot be served; the message says why, the cause is what the script raised, if it did."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script whose init() has not run yet."""

    module: ModuleType
    run: Callable[..., Any]
    read_arguments: ReadArguments
    wants_headers: bool
    decorated: bool


def load_script(entry_script: Path | None) -> Script:
    """Imports the script, or the module `main` from `sys.path`, and checks its two functions. Raises ScriptError: it is
    missing, fails to import, or has no init() or no usable run()."""
    module = _import(entry_script)
    where = getattr(module, "__file__", module.__name__)
    for name in ("init", "run"):
        if not callable(getattr(module, name, None)):
            raise ScriptError(f"User script at {where} does not have a {name}() function defined.")
    return _describe(module)


def _import(entry_script: Path | None) -> ModuleType:
    if entry_script is not None and not entry_script.is_file():
        raise ScriptError(f"No such entry script: {entry_script}")
    try:
        return importlib.import_module("main") if entry_script is None else _import_file(entry_script)
    except ModuleNotFoundError as error:
        if entry_script is None and error.name == "main":
            raise ScriptError(f"No score script found. Expected score script main.py in one of {sys.path}") from None
        raise ScriptError("Failed to import user script because it raised an unhandled exception") from error
    except BaseException as error:
        # Also SystemExit: a script that exits while it is imported must not end as if all were well.
        raise ScriptError("Failed to import user script because it raised an unhandled exception") from error


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None or spec.loader is None:
        raise ScriptError(f"Entry script {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # pickle and dataclasses look a class's module up by its name.
    sys.modules["entry_module"] = module
    spec.loader.exec_module(module)
    return module


def _describe(module: ModuleType) -> Script:
    run = module.run
    parameters = list(inspect.signature(run).parameters.values())
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(parameter.kind not in named for parameter in parameters):
        raise ScriptError("run() cannot accept positional-only arguments, *args, or **kwargs.")
    data = [parameter for parameter in parameters if parameter.name != HEADERS]
    wants_headers = len(data) < len(parameters)
    if not data:
        other = f' other than "{HEADERS}"' if wants_headers else " for input data"
        raise ScriptError(f"run() needs to accept an argument{other}.")
    raw, decorated = is_raw(run), has_schema(run)
    if raw and decorated:
        raise ScriptError("run() cannot be decorated with both @rawhttp and @input_schema")
    return Script(module, run, _reader(raw, decorated, data), wants_headers, decorated)


def _reader(raw: bool, decorated: bool, data: list[inspect.Parameter]) -> ReadArguments:
    if decorated:
        return partial(as_arguments, data)
    name = data[0].name
    if raw:  # the request itself, whatever its method
        return lambda request: {name: request}
    return lambda request: {name: as_text(request)}


def has_schema(run: Callable[..., Any]) -> bool:
    """Whether inference-schema is installed, in use, and knows this function."""
    schemas = sys.modules.get("inference_schema.schema_util")
    return schemas is not None and bool(schemas.is_schema_decorated(run))
