"""What can be said of a Dockerfile without building it."""

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from despina.cli import image_health
from despina.deploy.kubernetes.deployment import USER
from despina.settings import Settings

ROOT = Path(__file__).parents[3]
FILES = ("Dockerfile", "Dockerfile.gpu")
KNOWN = {"FROM", "WORKDIR", "ENV", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}

Instruction = tuple[str, str]


def instructions(name: str) -> list[Instruction]:
    """Keyword and arguments, continued lines joined, comments left out."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(keyword, rest) for keyword, rest in pairs]


def all_of(name: str, keyword: str) -> list[str]:
    return [rest for found, rest in instructions(name) if found == keyword]


def reaches_the_build(path: str) -> bool:
    """Whether .dockerignore lets a path through: its last line that matches decides."""
    allowed = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.lstrip("!").removeprefix("**/")
        if line and not line.startswith("#") and fnmatch(path, pattern):
            allowed = line.startswith("!")
    return allowed


@pytest.mark.parametrize("name", FILES)
def test_every_instruction_is_known(name: str) -> None:
    assert {keyword for keyword, _ in instructions(name)} <= KNOWN


@pytest.mark.parametrize("name", FILES)
def test_every_copied_file_is_there_and_not_ignored(name: str) -> None:
    stages = {one.split(" AS ")[1] for one in all_of(name, "FROM") if " AS " in one}
    for words in map(str.split, all_of(name, "COPY")):
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            assert reaches_the_build(source), source


@pytest.mark.parametrize("name", FILES)
def test_all_that_the_package_is_built_from_is_copied(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    needed |= {path.split("/")[0] for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    copied = {word for words in all_of(name, "COPY") for word in words.split()[:-1]}
    assert needed <= copied


@pytest.mark.parametrize(("name", "extra"), [("Dockerfile", "cpu"), ("Dockerfile.gpu", "gpu")])
def test_packages_are_pinned(name: str, extra: str) -> None:
    (install,) = (one for one in all_of(name, "RUN") if "pip install" in one)
    assert f"'.[{extra},score]'" in install
    assert "PIP_CONSTRAINT=/src/constraints.txt" in all_of(name, "ENV")
    assert "--no-cache-dir" in install
    for base in all_of(name, "FROM"):
        assert re.match(r"python:3\.\d+-slim-\w+( AS build)?$", base)


@pytest.mark.parametrize("name", FILES)
def test_the_ports_are_those_of_a_server_without_flags(name: str) -> None:
    settings = Settings()
    (ports,) = all_of(name, "EXPOSE")
    assert ports == f"{settings.http_port} {settings.grpc_port} {settings.metrics_port}"


def test_the_gpu_image_gets_cuda_and_cudnn_from_python_packages() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(one.startswith("onnxruntime-gpu[cuda,cudnn]") for one in extras["gpu"])
    assert any("NVIDIA_DRIVER_CAPABILITIES=compute,utility" in one for one in all_of("Dockerfile.gpu", "ENV"))


@pytest.mark.parametrize("name", FILES)
def test_it_runs_as_the_user_that_the_manifests_expect(name: str) -> None:
    assert all_of(name, "USER") == [f"{USER}:{USER}"]
    order = [keyword for keyword, _ in instructions(name)]
    assert order.index("USER") < order.index("ENTRYPOINT")


@pytest.mark.parametrize("name", FILES)
def test_commands_are_in_exec_form_so_that_signals_arrive(name: str) -> None:
    assert json.loads(all_of(name, "ENTRYPOINT")[0]) == ["despina"]
    assert json.loads(all_of(name, "CMD")[0]) == ["serve", "--model-repository=/models"]
    (check,) = all_of(name, "HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == ["python", "-m", image_health.__name__]


def test_the_two_differ_in_the_extra_and_the_gpus_variables_only() -> None:
    cpu, gpu = (set(instructions(name)) for name in FILES)
    assert {keyword for keyword, _ in cpu ^ gpu} == {"RUN", "ENV"}
    assert len(cpu - gpu) == len(gpu - cpu) == 2
