"""The page as commands, with the names corrected; the typo first."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from despina.cli.model import model
from despina.cli.service import service

pytest.importorskip("gunicorn")

SCORE = "import os\ndef init(): pass\ndef run(data): return [os.getpid(), data, os.environ['COLOUR']]\n"


def invoke(*arguments: str) -> Result:
    group = {"model": model, "service": service}[arguments[0]]
    return CliRunner().invoke(group, list(arguments[1:]))


def read(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("DESPINA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.txt").write_text("weights")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text(SCORE)
    environment = {"name": "e", "environmentVariables": {"WORKER_COUNT": "2", "COLOUR": "red"}}
    inference = {"entryScript": "score.py", "sourceDirectory": "src", "environment": environment}
    (tmp_path / "inference-config.json").write_text(json.dumps(inference))
    (tmp_path / "deploymentconfig.json").write_text('{"computeType": "local", "authEnabled": true,\n "colour": 1,\n}')
    invoke("model", "register", "-n", "my_model", "-p", "weights.txt", "-t", "meta.json")
    yield tmp_path
    for row in json.loads(invoke("service", "list").stdout):
        invoke("service", "delete", "-n", row["name"])


DEPLOY = ("model", "deploy", "-n", "svc", "--dc", "deploymentconfig.json", "--ic", "inference-config.json")


def test_a_service_from_its_deployment_to_its_end(folder: Path) -> None:
    deployed = invoke(*DEPLOY, "-f", "meta.json", "--tag", "a=b", "--resource-group", "group")
    shown = read(deployed)
    assert (shown["state"], shown["mode"], shown["models"]) == ("running", "default", ["my_model:1"])
    assert shown["scoringUri"] == f"http://localhost:{shown['port']}/score"
    for words in ("line 2, column 13", "deploymentconfig.json: unknown key colour", "--resource-group ignored"):
        assert words in deployed.stderr

    keys = read(invoke("service", "get-keys", "-n", "svc"))
    assert read(invoke("service", "regen-key", "-n", "svc", "-k", "Secondary", "-s", "mine")) == {
        "primaryKey": keys["primaryKey"],
        "secondaryKey": "mine",
    }
    pid, data, colour = read(invoke("service", "run", "-n", "svc", "-d", "hello"))
    assert (data, colour) == ("hello", "red")
    assert pid > 1
    assert "POST /score 200" in invoke("service", "get-logs", "-n", "svc", "-l", "5").stdout

    updated = read(invoke("service", "update", "-n", "svc", "--add-tag", "c=d", "--remove-tag", "a"))
    assert (updated["tags"], updated["generation"]) == ({"c": "d"}, 1)
    assert invoke("model", "delete", "-i", "my_model:1").stderr == (
        "Error: model my_model:1 is in use by service svc; delete that first\n"
    )
    assert [row["name"] for row in read(invoke("service", "list", "--model-id", "my_model:1"))] == ["svc"]
    assert invoke("service", "delete", "-n", "svc").exit_code == 0
    assert invoke("service", "show", "-n", "svc").exit_code == 1
    assert invoke("model", "delete", "-i", "my_model:1").exit_code == 0


def test_flag_beside_the_file_wins_and_no_wait_returns_at_once(folder: Path) -> None:
    shown = read(invoke(*DEPLOY, "-m", "my_model", "--auth-enabled", "false", "--no-wait"))
    assert shown["authEnabled"] is False
    assert shown["state"] in ("deploying", "running")
    again = invoke(*DEPLOY, "-m", "my_model")
    assert again.exit_code == 1
    assert "service svc exists already" in again.stderr
    moved = read(invoke(*DEPLOY, "-m", "my_model", "--overwrite"))
    assert (moved["port"], moved["generation"], moved["state"]) == (shown["port"], 2, "running")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*DEPLOY, "-m", "model:1"), 1, "model model:1 not found; have my_model:1"),
        (("model", "deploy", "-n", "svc", "-m", "my_model"), 1, "framework Custom needs an entry script"),
        (("model", "deploy", "-n", "svc", "-m", "my_model", "-e", "AzureML-Triton"), 1, "give --ic or --entry-script"),
        ((*DEPLOY, "-m", "my_model", "-e", "My-Triton"), 1, "environment My-Triton not found; have AzureML-Minimal"),
        ((*DEPLOY, "-m", "my_model", "--compute-target=aks-gpu"), 1, "compute target aks-gpu"),
        ((*DEPLOY, "-m", "my_model", "--port", "0"), 1, "port: expected an integer from 1 to 65535"),
        (("model", "deploy", "-m", "my_model"), 2, "--name"),
        (("service", "show", "-n", "none"), 1, "No service with name none found; have none"),
        (("service", "regen-key", "-n", "svc", "-k", "Third"), 2, "Third"),
    ],
)
def test_mistakes_have_their_message_and_exit_code(
    folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stdout == ""


def test_script_that_cannot_start_gives_exit_1_and_its_log(folder: Path) -> None:
    (folder / "src" / "score.py").write_text("def init(): raise RuntimeError('no weights')\ndef run(data): pass\n")
    result = invoke(*DEPLOY, "-m", "my_model")
    assert result.exit_code == 1
    assert "RuntimeError: no weights" in result.stderr
