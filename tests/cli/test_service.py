"""The page as commands, with the names corrected; the typo first."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from despina.cli.main import cli
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.folder import ServiceFolder
from despina.deploy.home import find_home
from despina.deploy.service import Mode, ServiceSpec
from despina.deploy.services import Services

SCORE = "import os\ndef init(): pass\ndef run(data): return [os.getpid(), data, os.environ['COLOUR']]\n"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


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
    assert len(invoke("service", "get-logs", "-n", "svc", "-l", "2").stdout.splitlines()) == 2
    assert invoke("service", "run", "-n", "svc", "-d", "\udcff").stderr.startswith(
        "Error: received 400 from service svc"
    )

    assert invoke("service", "restart", "-n", "svc").stderr == "service svc is running\n"
    updated = read(invoke("service", "update", "-n", "svc", "--add-tag", "c=d", "--remove-tag", "a"))
    assert (updated["tags"], updated["generation"]) == ({"c": "d"}, 1)
    assert read(invoke("service", "update", "-n", "svc", "--remove-tag", "c=d"))["tags"] == {}
    assert invoke("model", "delete", "-i", "my_model:1").stderr == (
        "Error: model my_model:1 is in use by service svc; delete that first\n"
    )
    assert [row["name"] for row in read(invoke("service", "list", "--model-id", "my_model:1"))] == ["svc"]
    assert invoke("service", "delete", "-n", "svc").exit_code == 0
    assert invoke("service", "show", "-n", "svc").exit_code == 1
    assert invoke("model", "delete", "-i", "my_model:1").exit_code == 0


def test_services_are_listed_by_type_tag_property_and_model(folder: Path) -> None:
    services = find_home({}, folder).services
    for name, kind, tags, properties in (("one", "local", {"a": "b"}, {}), ("two", "aks", {"a": "c"}, {"p": "q"})):
        models = (f"{name}:1",)
        spec = ServiceSpec(name, 1, Mode.DIRECT, models, DeploymentConfig(kind), tags=tags, properties=properties)
        ServiceFolder(services / name).write_spec(spec)

    def listed(*words: str) -> list[str]:
        return [row["name"] for row in read(invoke("service", "list", *words))]

    assert listed() == listed("--tag", "a") == ["one", "two"]
    assert listed("--tag", "a=c") == listed("--property", "p") == listed("-c", "AKS") == ["two"]
    assert listed("--tag", "a", "-c", "local") == ["one"]
    assert listed("--property", "p=r") == listed("--model-id", "two:2") == []
    assert listed("--model-id", "two:1") == listed("--model-name", "two") == ["two"]


def test_a_damaged_service_is_listed_with_what_to_do(folder: Path) -> None:
    services = find_home({}, folder).services
    ServiceFolder(services / "one").write_spec(ServiceSpec("one", 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    (services / "two").mkdir()
    (services / "two" / "spec.json").write_text("{")
    listed = invoke("service", "list")
    assert [(row["name"], row["state"]) for row in read(listed)] == [("one", "failed"), ("two", "damaged")]
    assert "end the service with `despina service delete -n two`" in listed.stderr
    assert invoke("service", "delete", "-n", "two").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("service", "list", "-v"),
        ("service", "get-logs", "-n", "svc", "--init"),
        ("service", "run", "-n", "svc"),
        ("model", "deploy", "-n", "svc", "-m", "m:1", "--se", "true"),
        ("model", "deploy", "-n", "svc", "-m", "m:1", "--cp", "AKS"),
    ],
)
def test_flags_of_existing_command_lines_are_known(folder: Path, words: tuple[str, ...]) -> None:
    result = invoke(*words)
    assert result.exit_code != 2, result.stderr
    assert "configuration file" not in result.stderr


def test_type_can_be_said_beside_or_instead_of_the_file(folder: Path) -> None:
    deployed = read(
        invoke(*DEPLOY[:4], "--es", "score.py", "--sd", "src", "-m", "my_model", "--cp", "aks", "--no-wait")
    )
    assert (deployed["computeType"], deployed["authEnabled"]) == ("AKS", True)
    refused = invoke(*DEPLOY, "-m", "my_model", "--overwrite", "--cp", "aci")
    assert "computeType aci needs the cloud" in refused.stderr


def test_flag_beside_the_file_wins_and_no_wait_returns_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def waited(*_: Any) -> None:
        raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr(Services, "wait", waited)
        shown = read(invoke(*DEPLOY, "-m", "my_model", "--auth-enabled", "false", "--no-wait"))
    assert shown["authEnabled"] is False
    assert shown["state"] in ("deploying", "running")
    again = invoke(*DEPLOY, "-m", "my_model")
    assert again.exit_code == 1
    assert "service svc exists already" in again.stderr
    moved = read(invoke(*DEPLOY, "-m", "my_model", "--overwrite"))
    assert (moved["port"], moved["generation"], moved["state"]) == (shown["port"], 2, "running")


def test_update_keeps_what_it_does_not_name_and_a_refused_one_changes_nothing(folder: Path) -> None:
    read(invoke(*DEPLOY, "-m", "my_model", "--tag", "a=b", "--property", "p=1", "-d", "said", "--mr", "700"))
    read(invoke("model", "register", "-n", "my_model", "-p", "weights.txt"))
    labelled = ("service", "update", "-n", "svc", "--add-property", "q=2", "--add-tag", "c=d")
    assert "model gone not found" in invoke(*labelled, "-m", "gone").stderr
    (folder / "src" / "score.py").write_text("nothing that would be a script")
    shown = read(invoke(*labelled, "-m", "my_model", "--scoring-timeout-ms", "5000"))
    assert (shown["tags"], shown["properties"], shown["description"]) == (
        {"a": "b", "c": "d"},
        {"p": "1", "q": "2"},
        "said",
    )
    assert (shown["models"], shown["generation"], shown["scoringTimeoutMs"]) == (["my_model:2"], 2, 5000)
    assert shown["authEnabled"] is True
    spec = ServiceFolder(folder / ".despina" / "services" / "svc").read_spec()
    assert spec.deployment.max_request_wait_time == 700
    pid, data, colour = read(invoke("service", "run", "-n", "svc", "-d", "hello"))
    assert (data, colour) == ("hello", "red")
    assert read(invoke("service", "update", "-n", "svc", "--auth-enabled", "false"))["authEnabled"] is False
    assert read(invoke("service", "run", "-n", "svc", "-d", "hello"))[0] != pid


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
    (folder / "src" / "score.py").write_text(SCORE)
    read(invoke(*DEPLOY, "-m", "my_model", "--overwrite"))
    (folder / "src" / "score.py").write_text("def init(): 1 / 0\ndef run(data): pass\n")
    result = invoke(*DEPLOY, "-m", "my_model", "--overwrite")
    assert result.exit_code == 1
    assert "Error: service svc: generation 3 failed, generation 2 still answers" in result.stderr


@pytest.fixture
def repository(folder: Path) -> Path:
    """The example model `digits`, registered as the repository `my_triton_model`."""
    digits = folder / "models" / "triton" / "digits"
    shutil.copytree(Path(__file__).parents[2] / "model_repository" / "digits", digits)
    read(invoke("model", "register", "-n", "my_triton_model", "-p", "models", "--model-framework=Multi"))
    return folder


ONE_AT_A_TIME = "warning: maxConcurrentRequestsPerContainer 1 lets one request at a time reach the model"


@pytest.mark.parametrize("flags", [(), ("--replica-max-concurrent-requests", "1")])
def test_one_request_at_a_time_in_front_of_a_batching_server_is_worth_a_warning(
    repository: Path, flags: tuple[str, ...]
) -> None:
    document = {"computeType": "local"} if flags else {"computeType": "local", "maxConcurrentRequestsPerContainer": 1}
    (repository / "one.json").write_text(json.dumps(document))
    deploy = ("model", "deploy", "-n", "svc", "--dc", "one.json", "--no-wait", *flags)
    assert ONE_AT_A_TIME in invoke(*deploy, "-m", "my_triton_model").stderr
    alone = invoke(*deploy, "-m", "my_model", "--ic", "inference-config.json", "--overwrite")
    assert alone.exit_code == 0
    assert ONE_AT_A_TIME not in alone.stderr


def test_server_that_cannot_have_port_8000_is_said_at_deployment(repository: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else has it: as good
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        deployed = invoke(*DEPLOY, "-m", "my_triton_model:1")
    shown = read(deployed)
    port = shown["serverUrl"].rpartition(":")[2]
    assert (shown["mode"], port != "8000") == ("middleware", True)
    assert "warning: port 8000 was taken" in deployed.stderr
    assert f"is at localhost:{port}: its entry script must connect to TRITON_HTTP_URL" in deployed.stderr


def test_the_typo_of_the_page_names_what_exists(repository: Path) -> None:
    result = invoke(
        "model", "deploy", "-n", "triton-webservice", "-m", "triton_model:1", "--dc", "deploymentconfig.json"
    )
    assert result.exit_code == 1
    assert "Error: model triton_model:1 not found; have my_triton_model:1, my_model:1" in result.stderr


def test_manifests_are_written_and_nothing_is_started(repository: Path) -> None:
    deploy = ("model", "deploy", "-n", "svc", "-m", "my_triton_model:1", "--dc", "deploymentconfig.json")
    result = invoke(*deploy, "--render", "out")
    assert "--render writes manifests for a compute target: give --compute-target too" in result.stderr
    attach = ("compute", "attach", "aks-gpu", "--image", "registry.example/despina:0.1.0", "--model-claim", "models")
    read(invoke(*attach))
    files = read(invoke(*deploy, "--compute-target=aks-gpu", "--render", "out"))
    kinds = [json.loads(Path(file).read_text())["kind"] for file in files]
    assert kinds[:4] == ["ConfigMap", "Secret", "Service", "Deployment"]
    assert read(invoke("service", "list")) == []


def test_person_who_stops_waiting_is_told_that_the_deployment_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Services, "wait", interrupted)
    result = invoke(*DEPLOY, "-m", "my_model")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        "the deployment goes on; see `despina service show -n svc`, end it with `despina service delete -n svc`"
    )
    assert read(invoke("service", "show", "-n", "svc"))["state"] in ("deploying", "running")
