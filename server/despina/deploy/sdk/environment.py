"""Environments as notebooks build them: changed in place, cloned, registered."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from despina.deploy.config_file import read_config_file
from despina.deploy.environment import EnvironmentSpec, find_environment, parse_environment, save_environment
from despina.deploy.sdk.errors import translated
from despina.deploy.sdk.workspace import Workspace


class CondaDependencies:
    """Packages. Those of conda are kept for the record; those of pip are checked when a service is deployed."""

    def __init__(self, pip_packages: tuple[str, ...] = ()) -> None:
        self.pip_packages = list(pip_packages)
        self.conda_packages: list[str] = []

    @classmethod
    def create(
        cls, pip_packages: list[str] | None = None, conda_packages: list[str] | None = None
    ) -> CondaDependencies:
        made = cls(tuple(pip_packages or ()))
        made.conda_packages = list(conda_packages or ())
        return made

    def add_pip_package(self, pip_package: str) -> None:
        if pip_package not in self.pip_packages:
            self.pip_packages.append(pip_package)

    def remove_pip_package(self, pip_package: str) -> None:
        self.pip_packages.remove(pip_package)

    def add_conda_package(self, conda_package: str) -> None:
        if conda_package not in self.conda_packages:
            self.conda_packages.append(conda_package)


class PythonSection:
    """The part of an environment that is about Python."""

    def __init__(self, conda_dependencies: CondaDependencies) -> None:
        self.conda_dependencies = conda_dependencies
        self.user_managed_dependencies = False


class DockerSection:
    """The part of an environment that is about its image. Scripts run in the interpreter of this installation, so it is
    kept, and ignored with a warning."""

    def __init__(self) -> None:
        self.enabled = False
        self.base_image: str | None = None
        self.base_dockerfile: str | None = None

    @property
    def ignored(self) -> bool:
        return self.base_image is not None or self.base_dockerfile is not None


class Environment:
    """A name, variables, packages."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version: str | None = None
        self.environment_variables: dict[str, str] = {}
        self.python = PythonSection(CondaDependencies())
        self.docker = DockerSection()

    @classmethod
    def get(cls, workspace: Workspace, name: str, version: str | None = None) -> Environment:
        """A registered or built-in environment; the newest version unless one is named."""
        with translated():
            return cls._of(find_environment(workspace.home, name, version))

    @classmethod
    def from_pip_requirements(cls, name: str, file_path: str) -> Environment:
        made = cls(name)
        lines = (line.partition("#")[0].strip() for line in Path(file_path).read_text().splitlines())
        made.python.conda_dependencies.pip_packages = [line for line in lines if line]
        return made

    @classmethod
    def from_conda_specification(cls, name: str, file_path: str) -> Environment:
        """With the packages of a conda file, which is YAML: reading it needs PyYAML."""
        with translated():
            conda = read_config_file(Path(file_path)).content
            packages = parse_environment({"name": name, "python": {"condaDependencies": conda}}, file_path).packages
        made = cls(name)
        made.python.conda_dependencies.pip_packages = list(packages)
        return made

    def clone(self, new_name: str) -> Environment:
        """A copy under another name, to be changed; the original stays as it is."""
        copy = deepcopy(self)
        copy.name, copy.version = new_name, None
        return copy

    def register(self, workspace: Workspace) -> Environment:
        """Stores this environment as the next version of its name."""
        with translated():
            return self._of(save_environment(workspace.home, self.spec()))

    def spec(self) -> EnvironmentSpec:
        """What a service needs to know of it."""
        variables = {key: str(value) for key, value in self.environment_variables.items()}
        return EnvironmentSpec(self.name, self.version, variables, tuple(self.python.conda_dependencies.pip_packages))

    @classmethod
    def _of(cls, spec: EnvironmentSpec) -> Environment:
        made = cls(spec.name)
        made.version = spec.version
        made.environment_variables = dict(spec.variables)
        made.python = PythonSection(CondaDependencies(spec.packages))
        return made

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"
