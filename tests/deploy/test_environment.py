import resource
from pathlib import Path
from typing import Any

import pytest

from despina.deploy.environment import (
    EnvironmentSpec,
    find_environment,
    missing_packages,
    parse_environment,
    save_environment,
)
from despina.deploy.home import Home
from despina.errors import InvalidArgument, NotFound


def test_versions_are_stored_and_the_newest_is_found(tmp_path: Path) -> None:
    home = Home(tmp_path)
    save_environment(home, EnvironmentSpec("My-Triton", None, {"WORKER_COUNT": "1"}, ("nltk",)))
    for _ in range(9):
        save_environment(home, EnvironmentSpec("My-Triton", None, {"WORKER_COUNT": "2"}))
    newest = find_environment(home, "My-Triton")
    assert (newest.version, newest.variables) == ("10", {"WORKER_COUNT": "2"})
    assert find_environment(home, "My-Triton", "1").packages == ("nltk",)


def test_one_that_there_is_no_room_for_or_that_is_half_written_is_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    save_environment(home, EnvironmentSpec("mine", None, {"COLOUR": "red"}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))  # as on a disk that is full
    try:
        with pytest.raises(OSError, match="too large"):
            save_environment(home, EnvironmentSpec("mine"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (tmp_path / "environments" / "mine" / "2.json").touch(exist_ok=False)
    assert find_environment(home, "mine").variables == {"COLOUR": "red"}
    assert save_environment(home, EnvironmentSpec("mine")).version == "3"


def test_built_in_names_are_there_and_taken(tmp_path: Path) -> None:
    assert find_environment(Home(tmp_path), "AzureML-Triton").name == "AzureML-Triton"
    with pytest.raises(InvalidArgument, match="names that begin with AzureML or Microsoft are taken"):
        save_environment(Home(tmp_path), EnvironmentSpec("AzureML-Mine"))


def test_missing_environment_names_those_there_are(tmp_path: Path) -> None:
    save_environment(Home(tmp_path), EnvironmentSpec("My-Triton"))
    with pytest.raises(NotFound, match="environment Mine not found; have AzureML-Minimal, AzureML-Triton, My-Triton"):
        find_environment(Home(tmp_path), "Mine")
    with pytest.raises(NotFound, match="environment My-Triton:7 not found"):
        find_environment(Home(tmp_path), "My-Triton", "7")


@pytest.mark.parametrize("name", ["../x", "", "a/b"])
def test_names_that_are_no_file_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument):
        save_environment(Home(tmp_path), EnvironmentSpec(name))


def test_packages_are_looked_up_by_name() -> None:
    wanted = ["numpy>=1.20", "click [extra] == 8", "AzureML-Defaults", " Surely-not-installed==1.0", "", "#"]
    assert missing_packages(wanted) == ["surely-not-installed"]


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("x", 'python: expected an object, got "x"'),
        ({"condaDependencies": [1]}, "python.condaDependencies: expected an object, got [1]"),
        (
            {"condaDependencies": {"dependencies": 5}},
            "python.condaDependencies.dependencies: expected an array, got 5",
        ),
        (
            {"condaDependencies": {"dependencies": ["python=3.11", {"pip": 5}]}},
            "python.condaDependencies.dependencies: pip: expected an array of requirements, got 5",
        ),
    ],
)
def test_packages_of_another_form_are_refused(python: Any, problem: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_environment({"name": "e", "python": python}, "ic.json: environment")
    assert raised.value.message == f"ic.json: environment: {problem}"


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"": "x"}, "environmentVariables: '' cannot be the name of a variable"),
        ({"A=B": "x"}, "environmentVariables: 'A=B' cannot be the name of a variable"),
        ({"A": None}, "environmentVariables.A: expected text or a number, got None"),
        ({"A": ["x"]}, "environmentVariables.A: expected text or a number, got ['x']"),
        ({"A": "x\0y"}, "environmentVariables.A: expected text or a number, got 'x\\x00y'"),
    ],
)
def test_variables_that_no_process_can_have_are_refused(variables: Any, problem: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_environment({"name": "e", "environmentVariables": variables})
    assert raised.value.message == f"environment: {problem}"


@pytest.mark.parametrize(
    "python", [None, {}, {"condaDependencies": None}, {"condaDependencies": {"dependencies": [{"pip": None}, "a"]}}]
)
def test_environment_may_name_no_packages(python: Any) -> None:
    assert parse_environment({"name": "e", "python": python}).packages == ()
