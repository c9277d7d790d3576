import json

import pytest

from despina.deploy.deployment_config import DeploymentConfig
from despina.deploy.service import Mode, ScriptSpec, ServiceSpec, ServiceState, State, check_service_name, choose_mode
from despina.errors import InvalidArgument


@pytest.mark.parametrize("name", ["abc", "triton-webservice", "a" + "b" * 31, "a1c"])
def test_service_names(name: str) -> None:
    check_service_name(name)


@pytest.mark.parametrize("name", ["ab", "a" * 33, "Abc", "1ab", "abc-", "a_b", "a.b", "", "../x"])
def test_bad_service_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="is not allowed"):
        check_service_name(name)


@pytest.mark.parametrize(
    ("frameworks", "scripted", "mode"),
    [
        (["Multi"], False, Mode.DIRECT),
        (["Onnx"], False, Mode.DIRECT),
        (["Multi"], True, Mode.MIDDLEWARE),
        (["Custom", "Multi"], True, Mode.MIDDLEWARE),
        (["Onnx"], True, Mode.DEFAULT),
        (["ScikitLearn"], True, Mode.DEFAULT),
        ([], True, Mode.DEFAULT),
    ],
)
def test_mode_follows_from_models_and_script(frameworks: list[str], scripted: bool, mode: Mode) -> None:
    assert choose_mode(frameworks, scripted=scripted) is mode


@pytest.mark.parametrize("frameworks", [[], ["Multi", "Multi"], ["ScikitLearn"], ["Custom"]])
def test_without_script_only_one_model_that_the_server_serves(frameworks: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="--ic"):
        choose_mode(frameworks, scripted=False)


def test_specs_and_states_survive_their_files() -> None:
    spec = ServiceSpec(
        "svc",
        3,
        Mode.MIDDLEWARE,
        ("m:1",),
        DeploymentConfig("aks", auth_enabled=True, scoring_timeout_ms=1000),
        ScriptSpec("score.py", {"WORKER_COUNT": "2"}, "My-Triton"),
        port=6789,
        tags={"a": "b"},
    )
    assert ServiceSpec.from_json(spec.to_json()) == spec
    state = ServiceState(State.FAILED, 2, "why", ("line",), "http://127.0.0.1:8000", 7)
    assert ServiceState.from_json(state.to_json()) == state


def test_specs_do_not_tell_keys() -> None:
    spec = ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig("aks", primary_key="k1", secondary_key="k2"))
    document = spec.to_json()
    assert "k1" not in json.dumps(document)
    assert ServiceSpec.from_json(document).deployment.primary_key is None


@pytest.mark.parametrize("key", ["k1", "revoked long ago"], ids=["a key", "no key any more"])
def test_specs_of_earlier_versions_are_read_without_the_keys_that_some_hold(key: str) -> None:
    spec = ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig("aks"), port=6789)
    document = spec.to_json()
    old = {**document, "host": "127.0.0.1", "deployment": {**document["deployment"], "keys": {"primaryKey": key}}}
    assert ServiceSpec.from_json(old) == spec


def test_specs_say_what_supervisors_and_pods_of_an_earlier_version_ask_for() -> None:
    spec = ServiceSpec("svc", 1, Mode.DIRECT, ("m:1",), DeploymentConfig("local"))
    assert spec.to_json()["host"] == "127.0.0.1"
