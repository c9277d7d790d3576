from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from benchmarks.gpu_box.install import check_environment, install
from benchmarks.gpu_box.problem import Problem


class Pip:
    """Does what `pip install --target` does to the file system, and remembers."""

    def __init__(self, target: Path, status: int = 0) -> None:
        self.target, self.status = target, status
        self.commands: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> int:
        self.commands.append(command)
        self.target.mkdir(exist_ok=True)
        return self.status


def wheel(folder: Path, name: str = "onnxruntime_gpu-1.31.1-cp311-cp311-linux.whl") -> Path:
    path = folder / name
    path.write_bytes(b"wheel")
    return path


def test_wheels_are_installed_once_without_dependencies_and_network(tmp_path: Path) -> None:
    pip = Pip(tmp_path / "target")
    wheels = [wheel(tmp_path)]
    for _ in range(2):
        install(wheels, pip.target, pip)
    (command,) = pip.commands
    assert {"--no-deps", "--no-index", "--target", str(pip.target), str(wheels[0])} <= {*command}


def test_other_wheels_are_installed_anew(tmp_path: Path) -> None:
    pip = Pip(tmp_path / "target")
    first = wheel(tmp_path)
    install([first], pip.target, pip)
    install([first, wheel(tmp_path, "click-8-py3.whl")], pip.target, pip)
    assert len(pip.commands) == 2


def test_failures_are_problems(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="pip could not install"):
        install([wheel(tmp_path)], tmp_path / "target", Pip(tmp_path / "target", 1))
    with pytest.raises(Problem, match=r"none of the wheels is onnxruntime-gpu's: click-8-py3\.whl"):
        install([wheel(tmp_path, "click-8-py3.whl")], tmp_path / "target", Pip(tmp_path / "target"))


def test_the_cpu_package_is_in_the_way() -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    check_environment(absent)
    with pytest.raises(Problem, match="uninstall it"):
        check_environment(lambda name: "1.32.0")
