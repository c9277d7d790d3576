"""An inference configuration: which script, from which folder, in which environment; checked before it is deployed."""

import ast
import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from despina.deploy.config_file import read_config_file
from despina.deploy.environment import EnvironmentSpec, parse_environment
from despina.errors import DespinaError, InvalidArgument

KNOWN = {"entryScript", "sourceDirectory", "environment"}
IGNORED = {"docker", "spark", "inferencingStackVersion"}


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """`source_directory` is absolute and deployed as a whole; `entry_script` is relative to it."""

    entry_script: str
    source_directory: Path
    environment: EnvironmentSpec | None = None
    warnings: tuple[str, ...] = ()


def parse_inference_config(document: Mapping[str, Any], folder: Path, where: str) -> InferenceSpec:
    """Reads the content of a file that lies in `folder`, and checks the script. Raises InvalidArgument: all that is
    wrong, in one message."""
    script = document.get("entryScript")
    if not isinstance(script, str) or not script:
        raise InvalidArgument(f"{where}: entryScript is missing")
    source = (folder / str(document.get("sourceDirectory") or ".")).resolve()
    environment, unread = _with_conda_file(document.get("environment"), source, where)
    if not isinstance(environment, dict | None):
        raise InvalidArgument(
            f"{where}: environment: expected an object, got {environment!r}; a name goes into its name"
        )
    spec = None if environment is None else parse_environment(environment, f"{where}: environment")
    warnings = (*_unknown(document, where), *_not_done(environment, where), *unread)
    return check_inference(InferenceSpec(script, source, spec, warnings))


def check_inference(spec: InferenceSpec) -> InferenceSpec:
    """Raises InvalidArgument: the script cannot be one: its name, its place or its syntax."""
    problems = list(_problems(spec))
    if problems:
        raise InvalidArgument(f"entry script {spec.entry_script}: " + "; ".join(problems))
    return spec


def _problems(spec: InferenceSpec) -> Iterator[str]:
    path = spec.source_directory / spec.entry_script
    if path.suffix != ".py":
        yield "its name must end in .py"
    elif not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        yield f"{path.stem!r} cannot be imported: its name must be a Python identifier"
    if not spec.source_directory.is_dir():
        yield f"source directory {spec.source_directory} does not exist"
    elif not path.resolve().is_relative_to(spec.source_directory.resolve()):
        yield f"it must lie in the source directory {spec.source_directory}"
    elif not path.is_file():
        yield f"it does not exist in {spec.source_directory}"
    else:
        yield from _syntax(path)


def _syntax(path: Path) -> Iterator[str]:
    try:
        ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        yield f"line {line}: {getattr(error, 'msg', error)}" if line else str(error)


def _with_conda_file(environment: Any, source: Path, where: str) -> tuple[Any, tuple[str, ...]]:
    """The environment with the packages of its conda file, which lies in the source directory, or why those are not
    known."""
    python = environment.get("python") if isinstance(environment, dict) else None
    if not isinstance(python, dict):
        return environment, ()
    file = python.get("condaDependenciesFile")
    if not isinstance(file, str) or not file:
        return environment, ()
    try:
        conda = read_config_file(source / file).content
    except DespinaError as error:
        unread = f"{where}: environment.python.condaDependenciesFile: {error.message}; its packages are not checked"
        return environment, (unread,)
    return {**environment, "python": {**python, "condaDependencies": python.get("condaDependencies") or conda}}, ()


def _unknown(document: Mapping[str, Any], where: str) -> Iterator[str]:
    for key in document:
        if key not in KNOWN:
            yield f"{where}: unknown key {key} is ignored"


def _not_done(environment: Any, where: str) -> Iterator[str]:
    if not isinstance(environment, dict):
        return
    for key in sorted(IGNORED & environment.keys()):
        if environment[key]:
            yield f"{where}: environment.{key} is ignored: scripts run in the interpreter of this installation"
