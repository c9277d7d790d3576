"""Environments: variables and packages of an entry script.

Scripts run in the interpreter of this installation. Packages are therefore checked, not installed: what is missing is
said before anything starts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from despina.deploy.home import Home
from despina.deploy.json_file import read_json, write_json
from despina.errors import InvalidArgument, NotFound

RESERVED = ("AzureML", "Microsoft")

PROVIDED = frozenset({"azureml-defaults", "azureml-inference-server-http", "azureml-contrib-services", "azureml-core"})
"""Packages whose part in a service is played by this one."""

_DISTRIBUTION = re.compile(r"\s*([\w.-]+)")
"""Of a pip requirement."""


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """What a service needs to know of an environment; `packages` are pip requirements."""

    name: str
    version: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """In the form of an inference configuration's `environment`."""
        return {
            "name": self.name,
            "version": self.version,
            "environmentVariables": dict(self.variables),
            "python": {"condaDependencies": {"dependencies": [{"pip": list(self.packages)}]}},
        }


BUILT_IN = {
    "AzureML-Triton": EnvironmentSpec("AzureML-Triton", "1", {}, ("tritonclient",)),
    "AzureML-Minimal": EnvironmentSpec("AzureML-Minimal", "1"),
}


def parse_environment(document: Mapping[str, Any], where: str = "environment") -> EnvironmentSpec:
    """Reads the `environment` of an inference configuration. Raises InvalidArgument: all that is wrong, in one
    message."""
    problems = []
    name = document.get("name")
    if not isinstance(name, str) or not name:
        problems.append("name: expected text")
    variables = document.get("environmentVariables") or {}
    if not isinstance(variables, dict):
        problems.append("environmentVariables: expected an object")
        variables = {}
    problems += _variable_problems(variables)
    problems += _python_problems(document)
    if problems:
        raise InvalidArgument(f"{where}: " + "; ".join(problems))
    stated = document.get("version")
    pairs = {str(key): str(value) for key, value in variables.items()}
    return EnvironmentSpec(str(name), None if stated is None else str(stated), pairs, tuple(_pip(document)))


def missing_packages(packages: Iterable[str]) -> list[str]:
    """Those that are not installed here, by distribution name; versions are the user's business."""
    names = [found[1].lower() for requirement in packages if (found := _DISTRIBUTION.match(requirement))]
    return [name for name in names if name not in PROVIDED and not _installed(name)]


def save_environment(home: Home, spec: EnvironmentSpec) -> EnvironmentSpec:
    """Stores an environment as the next version of its name. Raises InvalidArgument: the name is reserved or cannot be
    a file name."""
    if spec.name.startswith(RESERVED):
        raise InvalidArgument(
            f"environment name {spec.name!r}: names that begin with {' or '.join(RESERVED)} are taken"
        )
    if not spec.name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise InvalidArgument(f"environment name {spec.name!r}: expected letters, digits, '-', '_' and '.'")
    folder = home.directory / "environments" / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    number = max((int(path.stem) for path in folder.glob("*.json")), default=0)
    while True:
        number += 1
        stored = replace(spec, version=str(number))
        path = folder / f"{number}.json"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:  # another process took the number
            continue
        try:
            write_json(path, stored.to_json(), 0o644)
        except BaseException:
            path.unlink()
            raise
        return stored


def find_environment(home: Home, name: str, version: str | None = None) -> EnvironmentSpec:
    """A stored or built-in environment, the newest version unless one is named. Raises NotFound: there is none; the
    message names what there is."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    folder = home.directory / "environments"
    # One that is empty is being written, or what wrote it was killed.
    files = (folder / name).glob("*.json") if name else ()
    stored = {path.stem: path for path in files if path.stat().st_size}
    wanted = version or max(stored, key=int, default=None)
    if wanted not in stored:
        have = sorted({*BUILT_IN, *(path.name for path in folder.glob("*"))})
        label = f"{name}:{version}" if version else name
        raise NotFound(f"environment {label} not found; have {', '.join(have)}")
    return read_json(stored[wanted], parse_environment)


def _variable_problems(variables: Mapping[Any, Any]) -> Iterator[str]:
    """What a process cannot be given, or what would arrive as something that nobody meant."""
    for key, value in variables.items():
        name = str(key)
        if not name or "=" in name or "\0" in name:
            yield f"environmentVariables: {name!r} cannot be the name of a variable"
        elif not isinstance(value, str | int | float) or "\0" in str(value):
            yield f"environmentVariables.{name}: expected text or a number, got {value!r}"


def _python_problems(document: Mapping[str, Any]) -> Iterator[str]:
    """What is not of the type that `_pip` reads; nothing and null are none."""
    python = document.get("python") or {}
    if not isinstance(python, dict):
        yield f"python: expected an object, got {json.dumps(python)}"
        return
    conda = python.get("condaDependencies") or {}
    if not isinstance(conda, dict):
        yield f"python.condaDependencies: expected an object, got {json.dumps(conda)}"
        return
    dependencies = conda.get("dependencies") or []
    where = "python.condaDependencies.dependencies"
    if not isinstance(dependencies, list):
        yield f"{where}: expected an array, got {json.dumps(dependencies)}"
        return
    for dependency in dependencies:
        pip = dependency.get("pip") or [] if isinstance(dependency, dict) else []
        if not isinstance(pip, list):
            yield f"{where}: pip: expected an array of requirements, got {json.dumps(pip)}"


def _pip(document: Mapping[str, Any]) -> Iterable[str]:
    python = document.get("python") or {}
    conda = python.get("condaDependencies") or {}
    for dependency in conda.get("dependencies") or ():
        if isinstance(dependency, dict):
            yield from map(str, dependency.get("pip") or ())


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
