import inspect
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from despina.deploy.deploy_request import DeployRequest
from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.entry_script import InferenceSpec
from despina.deploy.environment import EnvironmentSpec
from despina.deploy.folder import ServiceFolder
from despina.deploy.home import Home
from despina.deploy.sdk import (
    AksWebservice,
    Environment,
    InferenceConfig,
    LocalWebservice,
    Model,
    ResourceConfiguration,
    UserErrorException,
    Webservice,
    WebserviceException,
    Workspace,
)
from despina.deploy.service import Mode, ScriptSpec, ServiceSpec, ServiceState, State
from despina.deploy.services import Services


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.delenv("DESPINA_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    version = tmp_path / "models" / "triton" / "densenet_onnx" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"weights")
    return Workspace.from_config()


def test_the_page_registers_its_model(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    model = Model.register(
        model_path="models",
        model_name="bidaf-9-tutorial",
        tags={"area": "Natural language processing", "type": "Question-answering"},
        description="Question answering from ONNX model zoo",
        workspace=workspace,
        model_framework=Model.Framework.MULTI,
    )
    assert (model.id, model.version, model.model_framework) == ("bidaf-9-tutorial:1", 1, "Multi")
    assert "densenet_onnx: version 1" in capsys.readouterr().out
    assert Model(workspace, "bidaf-9-tutorial").id == model.id
    assert Model(workspace, id="bidaf-9-tutorial:1", tags=["area"]).description == model.description
    assert workspace.models.keys() == {"bidaf-9-tutorial"}


def test_a_workspace_says_where_it_is(workspace: Workspace, tmp_path: Path) -> None:
    place = [workspace.name, workspace.resource_group, workspace.location, workspace.subscription_id]
    assert place == [tmp_path.name, "", "local", ""]


def test_missing_model_begins_with_its_code(workspace: Workspace) -> None:
    Model.register(workspace, "models", "m")
    with pytest.raises(WebserviceException, match=r"^ModelNotFound: model n:1 not found; have m:1$"):
        Model(workspace, id="n:1")
    with pytest.raises(WebserviceException, match=r"^ModelNotFound"):
        Model(workspace, "m", tags=[["area", "nlp"]])


def test_models_change_as_far_as_they_may(workspace: Workspace, tmp_path: Path) -> None:
    model = Model.register(
        workspace,
        "models",
        "m",
        {"a": "1", "b": "1"},
        {"p": "1"},
        resource_configuration=ResourceConfiguration(1, 0.5, 1),
    )
    model.update(tags={"a": "2"}, description="new")
    assert (model.tags, model.description) == ({"a": "2"}, "new")
    model.add_tags({"c": "3"})
    model.remove_tags(["a"])
    assert Model(workspace, "m").tags == {"c": "3"}
    with pytest.raises(UserErrorException, match="immutable"):
        model.add_properties({"p": "2"})
    assert model.serialize()["resourceConfiguration"] == {"cpu": 1.0, "memoryInGB": 0.5, "gpu": 1}
    assert Path(model.download("down")).name == "models"
    with pytest.raises(WebserviceException, match="exists already"):
        model.download("down")
    model.delete()
    assert Model.list(workspace) == []


def test_model_that_a_service_was_deployed_with_is_not_deleted(workspace: Workspace) -> None:
    model = Model.register(workspace, "models", "m")
    folder = ServiceFolder(workspace.home.services / "svc")
    folder.write_spec(ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    with pytest.raises(UserErrorException, match="model m:1 is in use by service svc; delete that first"):
        model.delete()
    assert workspace.models.keys() == {"m"}
    shutil.rmtree(folder.path)
    model.delete()
    assert workspace.models == {}


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (Model, "workspace name id tags properties version run_id model_framework expand"),
        (Model.list, "workspace name tags properties run_id latest dataset_id expand page_count model_framework"),
        (LocalWebservice.wait_for_deployment, "self show_output timeout_sec"),
        (LocalWebservice.update, "self models deployment_config inference_config wait"),
        (LocalWebservice.delete, "self delete_cache delete_image delete_volume"),
        (AksWebservice.get_logs, "self num_lines init"),
    ],
)
def test_arguments_are_those_of_the_sdk_in_its_order(function: Callable[..., object], names: str) -> None:
    parameters = inspect.signature(function).parameters
    assert list(parameters)[: len(names.split())] == names.split()


def test_waiting_ends_after_its_timeout(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ServiceFolder(workspace.home.services / "svc")
    folder.write_spec(ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    service = LocalWebservice(workspace, "svc")
    forever = threading.Event()
    monkeypatch.setattr(Services, "wait", lambda *_: forever.wait())
    with pytest.raises(WebserviceException, match=r"service svc is not ready after 0\.01 s"):
        service.wait_for_deployment(timeout_sec=0.01)
    forever.set()


def test_framework_version_needs_a_framework(workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match="needs model_framework"):
        Model.register(workspace, "models", "m", model_framework_version="1.0")


def test_environments_are_cloned_changed_and_registered(workspace: Workspace) -> None:
    env = Environment.get(workspace, "AzureML-Triton").clone("My-Triton")
    for pip_package in ["nltk"]:
        env.python.conda_dependencies.add_pip_package(pip_package)
    env.environment_variables["WORKER_COUNT"] = "1"
    assert env.register(workspace).version == "1"
    again = Environment.get(workspace, "My-Triton")
    assert again.environment_variables == {"WORKER_COUNT": "1"}
    assert again.python.conda_dependencies.pip_packages == ["tritonclient", "nltk"]
    assert Environment.get(workspace, "AzureML-Triton").python.conda_dependencies.pip_packages == ["tritonclient"]


def test_environments_of_conda_files_and_with_images(tmp_path: Path) -> None:
    (tmp_path / "conda.json").write_text('{"dependencies": ["python=3.11", {"pip": ["nltk"]}]}')
    env = Environment.from_conda_specification("Mine", str(tmp_path / "conda.json"))
    assert env.python.conda_dependencies.pip_packages == ["nltk"]
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): pass\n")
    config = InferenceConfig("score.py", str(tmp_path), env)
    assert config.spec().warnings == ()
    env.docker.base_image = "ubuntu"
    assert config.spec().warnings == (
        "docker of environment Mine is ignored: scripts run in this installation's Python",
    )


def test_inference_config_checks_its_script(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "score_bidaf.py").write_text("def init(): pass\ndef run(data): pass\n")
    env = Environment("mine")
    spec = InferenceConfig(entry_script="score_bidaf.py", source_directory="scripts", environment=env).spec()
    assert spec.source_directory == tmp_path / "scripts"
    with pytest.raises(UserErrorException, match="does not exist"):
        InferenceConfig("score.py", "scripts").spec()


def test_deployment_configurations_of_the_page() -> None:
    config = AksWebservice.deploy_configuration(
        compute_target_name="aks-gpu", gpu_cores=1, cpu_cores=1, memory_gb=4, auth_enabled=True
    )
    assert (config.compute_type, config.compute_target_name, config.gpu_cores) == ("aks", "aks-gpu", 1)
    assert LocalWebservice.deploy_configuration(port=6789).port == 6789
    with pytest.raises(UserErrorException, match=r"port: expected"):
        LocalWebservice.deploy_configuration(port=0)


def test_deploy_says_what_is_wrong_before_anything_starts(workspace: Workspace) -> None:
    model = Model.register(workspace, "models", "m", model_framework="ScikitLearn")
    with pytest.raises(UserErrorException, match="needs an entry script"):
        Model.deploy(workspace, "my-service", [model])
    with pytest.raises(UserErrorException, match=r"service name 'My_Service' is not allowed"):
        Model.deploy(workspace, "My_Service", [model])
    with pytest.raises(WebserviceException, match="compute target aks-gpu is not attached"):
        Model.deploy(workspace, "my-service", [model], deployment_target="aks-gpu")
    assert workspace.webservices == {}


@pytest.mark.parametrize("reads", [0, 1])
def test_service_that_is_deleted_while_services_are_listed_is_left_out(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    for name in ("one", "two"):
        folder = ServiceFolder(workspace.home.services / name)
        folder.write_spec(ServiceSpec(name, 1, Mode.DIRECT, ("m:1",), DeploymentConfig()))
    get, left = Services.get, reads

    def get_late(services: Services, name: str) -> tuple[ServiceSpec, ServiceState]:
        nonlocal left
        if name == "one" and left == 0:
            shutil.rmtree(workspace.home.services / name)
        left -= name == "one"
        return get(services, name)

    monkeypatch.setattr(Services, "get", get_late)
    assert [service.name for service in Webservice.list(workspace)] == (["one", "two"] if reads == 1 else ["two"])


def test_a_service_that_is_looked_up_is_of_the_class_for_its_place(workspace: Workspace) -> None:
    for name, kind in (("here", "local"), ("type-aks", "aks")):
        folder = ServiceFolder(workspace.home.services / name)
        folder.write_spec(ServiceSpec(name, 1, Mode.DIRECT, ("m:1",), DeploymentConfig(kind)))
    assert type(Webservice(workspace, "here")) is LocalWebservice
    assert type(Webservice(workspace, "type-aks")) is AksWebservice
    assert type(LocalWebservice(workspace, "type-aks")) is LocalWebservice
    with pytest.raises(WebserviceException, match="No service with name gone found"):
        Webservice(workspace, "gone")


def test_service_that_cannot_be_asked_is_not_left_out(workspace: Workspace) -> None:
    folder = ServiceFolder(workspace.home.services / "one")
    lost = DeploymentConfig("aks", compute_target_name="detached")
    folder.write_spec(ServiceSpec("one", 1, Mode.DIRECT, ("m:1",), lost))
    (service,) = Webservice.list(workspace)
    assert service.state == "Transitioning"
    assert "compute target detached is not attached" in (service.error or "")


def a_service(workspace: Workspace, **fields: Any) -> ServiceSpec:
    """One that is in the files only: its processes are gone."""
    spec = ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig("local", scoring_timeout_ms=7), **fields)
    ServiceFolder(workspace.home.services / "svc").write_spec(spec)
    return spec


def test_services_are_listed_by_model(workspace: Workspace) -> None:
    a_service(workspace)
    for filters, found in (
        ({"model_name": "m"}, ["svc"]),
        ({"model_name": "n"}, []),
        ({"model_id": "m:1"}, ["svc"]),
        ({"model_id": "m:2"}, []),
    ):
        assert [service.name for service in Webservice.list(workspace, **filters)] == found


def test_deployment_that_failed_raises_with_its_log_though_the_one_before_still_answers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ServiceState(State.RUNNING, 1, "generation 2 failed, generation 1 still answers", ("no weights",))
    spec = a_service(workspace)
    monkeypatch.setattr(Services, "wait", lambda *_: state)
    monkeypatch.setattr(Services, "get", lambda *_: (spec, state))
    service = Webservice(workspace, "svc")
    with pytest.raises(WebserviceException, match="generation 1 still answers\nno weights"):
        service.wait_for_deployment()
    assert capsys.readouterr().out == ""
    with pytest.raises(WebserviceException, match="deployment of service svc failed"):
        service.wait_for_deployment(show_output=True)
    assert capsys.readouterr().out == "no weights\n"


def test_what_ends_the_wait_ends_it_with_a_timeout_too(workspace: Workspace) -> None:
    a_service(workspace)
    service = Webservice(workspace, "svc")
    shutil.rmtree(workspace.home.services)
    with pytest.raises(WebserviceException, match="No service with name svc found"):
        service.wait_for_deployment(timeout_sec=60)


def test_update_keeps_what_it_is_not_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = a_service(workspace, description="said", tags={"a": "1", "b": "1"}, properties={"p": "1"})
    asked: list[DeployRequest] = []
    monkeypatch.setattr(Services, "deploy", lambda self, request, progress: asked.append(request))
    service = Webservice(workspace, "svc")
    service.update(models=["n:2"])
    service.update(deployment_config=DeploymentConfig(), tags={}, description="new")
    kept, told = asked
    assert (kept.models, kept.deployment, kept.overwrite) == (["n:2"], spec.deployment, True)
    assert (kept.description, kept.tags, kept.properties) == ("said", spec.tags, spec.properties)
    assert (told.models, told.deployment) == (("m:1",), DeploymentConfig())
    assert (told.description, told.tags, told.properties) == ("new", {}, spec.properties)
    service.update(tags={"b": "2"})
    assert (service.tags, service.description, len(asked)) == ({"b": "2"}, "said", 2)


def test_update_keeps_the_script_whose_copy_is_here(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    a_service(workspace, script=ScriptSpec("score.py", {"A": "b"}, "env"))
    asked: list[DeployRequest] = []
    monkeypatch.setattr(Services, "deploy", lambda self, request, progress: asked.append(request))
    service = Webservice(workspace, "svc")
    with pytest.raises(UserErrorException, match=r"has an entry script of which there is no copy here: give .* again"):
        service.update(models=["n:2"])
    source = workspace.home.services / "svc" / "generations" / "1" / "source"
    source.mkdir(parents=True)
    service.update(models=["n:2"])
    (request,) = asked
    assert request.inference == InferenceSpec("score.py", source, EnvironmentSpec("env", variables={"A": "b"}))


def test_a_deployment_target_is_known_by_its_name(workspace: Workspace) -> None:
    with pytest.raises(WebserviceException, match="compute target aks-gpu is not attached"):
        Model.deploy(workspace, "svc", ["m"], deployment_target=SimpleNamespace(name="aks-gpu"))


def test_models_are_registered_in_part_and_listed_by_framework(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models" / "notes.txt").touch()
    Model.register(workspace, "models", "m", properties={"p": 1}, child_paths=["triton"])  # type: ignore[dict-item]
    Model.register(workspace, "models", "m", model_framework="ScikitLearn")
    assert capsys.readouterr().out == 2 * "Registering model m\n"
    first, second = Model(workspace, id="m:1"), Model(workspace, "m")
    assert first.properties == {"p": "1"}
    assert not list(Path(first.download("down")).rglob("notes.txt"))
    assert [model.id for model in Model.list(workspace, model_framework="Custom")] == [first.id]
    assert [model.id for model in Model.list(workspace, latest=True)] == [second.id]
    assert workspace.models["m"].id == second.id


def test_a_clone_of_an_environment_is_one_of_its_own(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("nltk==3.9  # language\n\n# nothing\n")
    first = Environment.from_pip_requirements("first", str(tmp_path / "requirements.txt")).register(workspace)
    second = first.clone("second")
    second.environment_variables["A"] = "1"
    second.python.conda_dependencies.add_pip_package("nltk==3.9")
    assert (first.name, first.version, first.environment_variables) == ("first", "1", {})
    assert (second.name, second.version) == ("second", None)
    assert second.python.conda_dependencies.pip_packages == ["nltk==3.9"]


def test_a_workspace_that_is_no_hidden_folder_has_its_own_name(tmp_path: Path) -> None:
    assert Workspace(Home(tmp_path / "models")).name == "models"
    assert Workspace.create(str(tmp_path / "made")).name == "made"
    with pytest.raises(FileExistsError):
        Workspace.create(str(tmp_path / "made"), exist_ok=False)


def test_a_service_as_the_page_deploys_it(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "score.py").write_text(
        "import json, os\ndef init(): pass\ndef run(data): return [os.getpid(), json.loads(data)]\n"
    )
    model = Model.register(workspace, "models", "m")
    env = Environment.get(workspace, "AzureML-Minimal").clone("Mine")
    env.environment_variables["WORKER_COUNT"] = "1"
    service = Model.deploy(
        workspace=workspace,
        name="my-service",
        models=[model],
        inference_config=InferenceConfig("score.py", "scripts", env),
        deployment_config=LocalWebservice.deploy_configuration(auth_enabled=True),
        overwrite=True,
    )
    try:
        service.wait_for_deployment(show_output=True)
        assert (service.state, service.compute_type) == ("running", "LOCAL")
        assert service.scoring_uri == f"http://localhost:{service.port}/score"
        pid, answer = service.run('{"data": 1}')
        assert answer == {"data": 1}
        primary, _ = service.get_keys()
        service.regen_key("Primary")
        assert service.get_keys()[0] != primary
        with pytest.raises(WebserviceException, match="received 500 from service my-service"):
            service.run("nonsense")
        assert "JSONDecodeError" in service.get_logs()
        assert isinstance(service, LocalWebservice)
        service.wait_for_deployment(timeout_sec=60)
        service.update([model], inference_config=InferenceConfig("score.py", "scripts", env), wait=True)
        assert service.state == "running"
        pid, _ = service.run("{}")
        service.reload(wait=True)
        assert service.run("{}")[0] != pid
        assert workspace.webservices.keys() == {"my-service"}
    finally:
        service.delete()
    assert service.state == "deleted"
    assert workspace.webservices == {}
