import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from despina.cli.main import cli
from despina.deploy.deploy_request import DeployRequest
from despina.deploy.environment import EnvironmentSpec, save_environment
from despina.deploy.home import Home
from despina.deploy.services import Services
from despina.errors import Unsupported


class Desk:
    """A folder with scripts and files that name them, where requests end."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.requests: list[DeployRequest] = []
        for script in ("a/one.py", "b/two.py"):
            (folder / script).parent.mkdir()
            (folder / script).write_text("def init(): pass\ndef run(data): pass\n")
        environment = {"name": "of-the-file", "environmentVariables": {"COLOUR": "red"}}
        self.write("ic.json", {"entryScript": "one.py", "sourceDirectory": "a", "environment": environment})
        home = Home(folder / "home")
        save_environment(home, EnvironmentSpec("mine", variables={"COLOUR": "green"}))
        save_environment(home, EnvironmentSpec("mine", variables={"COLOUR": "blue"}))
        monkeypatch.setenv("DESPINA_HOME", str(home.directory))
        monkeypatch.chdir(folder)
        monkeypatch.setattr(Services, "deploy", self._take)

    def _take(self, request: DeployRequest, progress: Any) -> None:
        self.requests.append(request)
        raise Unsupported("the desk deploys nothing")

    def write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content))

    def deploy(self, *words: str) -> Result:
        return CliRunner().invoke(cli, ["model", "deploy", "-n", "svc", "-m", "m", *words])

    def script(self, *words: str) -> tuple[str, str, str | None]:
        """The script, the name of its folder and the colour of its environment."""
        result = self.deploy(*words)
        assert self.requests, result.stderr
        found = self.requests.pop().inference
        assert found is not None
        colour = None if found.environment is None else found.environment.variables.get("COLOUR")
        return found.entry_script, found.source_directory.name, colour


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (("--ic", "ic.json"), ("one.py", "a", "red")),
        (("--ic", "ic.json", "-e", "mine"), ("one.py", "a", "blue")),
        (("--ic", "ic.json", "--es", "two.py", "--sd", "b"), ("two.py", "b", "red")),
        (("--es", "two.py", "--sd", "b"), ("two.py", "b", None)),
        (("--es", "two.py", "--sd", "b", "-e", "mine", "--ev", "1"), ("two.py", "b", "green")),
    ],
)
def test_script_and_environment_are_those_of_the_file_but_for_the_flags(
    desk: Desk, words: tuple[str, ...], script: tuple[str, str, str | None]
) -> None:
    assert desk.script(*words) == script


def test_file_of_a_script_speaks_of_its_own_folder(desk: Desk) -> None:
    (desk.folder / "below").mkdir()
    desk.write("below/ic.json", {"entryScript": "two.py", "sourceDirectory": "../b"})
    assert desk.script("--ic", "below/ic.json") == ("two.py", "b", None)
    (desk.folder / "linked.json").symlink_to("below/ic.json")
    assert desk.script("--ic", "linked.json") == ("two.py", "b", None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sd", "a"), "Error: source directory a is for an entry script: give --ic or --entry-script too"),
        (("--ev", "1", "--ic", "ic.json"), "Error: --environment-version 1 is that of no environment"),
        (("--es", "three.py", "--sd", "a"), "entry script three.py: it does not exist in "),
    ],
)
def test_what_belongs_to_no_script_is_refused(desk: Desk, words: tuple[str, ...], message: str) -> None:
    assert message in desk.deploy(*words).stderr
    assert desk.requests == []


def test_what_a_person_should_know_about_the_files_is_said(desk: Desk) -> None:
    desk.write("dc.json", {"computeType": "local", "port": 6789})
    (desk.folder / "ic.json").write_text(
        '{"entryScript": "one.py", "colour": 1, "sourceDirectory": "a", "environment": {"name": "e"},}'
    )
    words = ("--dc", "dc.json", "--port", "6790", "--ic", "ic.json", "-e", "mine", "--sd", "a")
    assert [line for line in desk.deploy(*words).stderr.splitlines() if line.startswith("warning: ")] == [
        "warning: ic.json, line 1, column 92: a comma before the closing bracket is not JSON; remove it",
        "warning: sourceDirectory: the flag wins over the configuration file",
        "warning: environment: the flag wins over the configuration file",
        "warning: ic.json: unknown key colour is ignored",
        "warning: port: the flag wins over the configuration file",
    ]


def test_what_is_said_about_a_service_arrives(desk: Desk) -> None:
    desk.deploy("-d", "said", "--tag", "a=b", "--property", "p=1", "--overwrite")
    (request,) = desk.requests
    assert (request.description, request.tags, request.properties) == ("said", {"a": "b"}, {"p": "1"})
    assert request.overwrite


SHORT_FLAGS = {
    "--ccl": ("cpu_cores_limit", 2.0),
    "--gbl": ("memory_gb_limit", 4.0),
    "--cc": ("cpu_cores", 1.0),
    "--gb": ("memory_gb", 3.0),
    "--gc": ("gpu_cores", 5),
    "--as": ("autoscale_enabled", True),
    "--mi": ("autoscale_min_replicas", 6),
    "--ma": ("autoscale_max_replicas", 7),
    "--at": ("autoscale_target_utilization", 8),
    "--ar": ("autoscale_refresh_seconds", 9.0),
    "--rm": ("replica_max_concurrent_requests", 10),
    "--mr": ("max_request_wait_time", 11),
    "--tm": ("scoring_timeout_ms", 12),
    "--ps": ("period_seconds", 13),
    "--id": ("initial_delay_seconds", 14),
    "--ts": ("timeout_seconds", 15),
    "--st": ("success_threshold", 16),
    "--ft": ("failure_threshold", 17),
    "--ae": ("auth_enabled", True),
    "--kp": ("primary_key", "first"),
    "--ks": ("secondary_key", "second"),
    "--po": ("port", 6789),
    "--ct": ("compute_target_name", "aks-gpu"),
}


def test_every_field_of_a_deployment_configuration_has_its_flag(desk: Desk) -> None:
    desk.deploy(*(f"{flag}={value}" for flag, (_, value) in SHORT_FLAGS.items()))
    (request,) = desk.requests
    for field, value in SHORT_FLAGS.values():
        assert getattr(request.deployment, field) == value, field
