from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.grpc_methods import ask_method, parameter

from despina.errors import DespinaError, InvalidArgument, Unsupported
from despina.server import Server

Calls = list[tuple[Any, ...]]


def recording() -> tuple[Any, Calls]:
    """A server, and what it is asked to do."""
    calls: Calls = []

    async def index(ready: bool) -> list[dict[str, str]]:
        calls.append(("index", ready))
        return [{"name": "m\udcff"}, {"name": "n", "version": "1", "state": "READY", "reason": "why"}]

    async def load(name: str, parameters: dict[str, str | bytes]) -> None:
        calls.append(("load", name, parameters))

    async def unload(name: str, unload_dependents: bool) -> None:
        calls.append(("unload", name, unload_dependents))

    return SimpleNamespace(models=SimpleNamespace(index=index, load=load, unload=unload)), calls


@pytest.mark.parametrize("ready", [False, True])
async def test_the_index_has_every_model_or_those_that_are_ready_whatever_their_names_are(ready: bool) -> None:
    server, calls = recording()
    answer = await ask_method(server, "RepositoryIndex", ready=ready)
    assert calls == [("index", ready)]
    rows = [(model.name, model.version, model.state, model.reason) for model in answer.models]
    assert rows == [("m\ufffd", "", "", ""), ("n", "1", "READY", "why")]


async def test_a_load_carries_the_configuration_as_text_and_files_as_bytes() -> None:
    server, calls = recording()
    parameters = {"config": parameter(string_param="{}\0x"), "file:1/model.onnx": parameter(bytes_param=b"\xff")}
    await ask_method(server, "RepositoryModelLoad", model_name="m\0x", parameters=parameters)
    assert calls == [("load", "m", {"config": "{}", "file:1/model.onnx": b"\xff"})]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("config", {"bytes_param": b"{}"}, "invalid value type for load parameter 'config', expected string_param."),
        ("config", {}, "invalid value type for load parameter 'config', expected string_param."),
        ("file:x", {"string_param": "x"}, "invalid value type for load parameter 'file:x', expected bytes_param."),
        ("file", {"bytes_param": b"x"}, "unrecognized load parameter 'file'."),
        ("", {"string_param": "x"}, "unrecognized load parameter ''."),
        ("config\0", {"string_param": "x"}, "unrecognized load parameter 'config\0'."),
    ],
)
async def test_other_load_parameters_are_refused(name: str, value: dict[str, Any], message: str) -> None:
    server, calls = recording()
    with pytest.raises(InvalidArgument) as raised:
        await ask_method(server, "RepositoryModelLoad", model_name="m", parameters={name: parameter(**value)})
    assert (raised.value.message, calls) == (message, [])


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, False),
        ({"unload_dependents": {"bool_param": True}}, True),
        ({"unload_dependents": {"bool_param": False}}, False),
        ({"other": {"bool_param": True}}, False),
    ],
)
async def test_an_unload_takes_the_steps_of_an_ensemble_along_when_asked(
    parameters: dict[str, dict[str, bool]], expected: bool
) -> None:
    server, calls = recording()
    made = {name: parameter(**value) for name, value in parameters.items()}
    await ask_method(server, "RepositoryModelUnload", model_name="m", parameters=made)
    assert calls == [("unload", "m", expected)]


@pytest.mark.parametrize("value", [{}, {"string_param": "true"}, {"int64_param": 1}])
async def test_unload_dependents_is_a_boolean_or_an_error(value: dict[str, Any]) -> None:
    server, calls = recording()
    parameters = {"unload_dependents": parameter(**value)}
    with pytest.raises(InvalidArgument) as raised:
        await ask_method(server, "RepositoryModelUnload", model_name="m", parameters=parameters)
    assert raised.value.message == "invalid value type for 'unload_dependents' parameter, expected bool_param."
    assert calls == []


@pytest.mark.parametrize("method", ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"])
async def test_repositories_have_no_names(method: str) -> None:
    server, calls = recording()
    with pytest.raises(Unsupported, match="'repository_name' specification is not supported"):
        await ask_method(server, method, repository_name="x")
    assert calls == []


async def test_a_model_is_loaded_with_a_configuration_and_unloaded(server: Server) -> None:
    override = {"config": parameter(string_param='{"backend": "onnxruntime", "max_batch_size": 3}')}
    await ask_method(server, "RepositoryModelLoad", model_name="digits", parameters=override)
    answer = await ask_method(server, "ModelConfig", name="digits")
    assert answer.config.max_batch_size == 3
    await ask_method(server, "RepositoryModelUnload", model_name="digits")
    with pytest.raises(DespinaError, match="'digits' has no available versions"):
        await ask_method(server, "ModelReady", name="digits")
    with pytest.raises(DespinaError, match="failed to load 'nope', failed to poll from model repository"):
        await ask_method(server, "RepositoryModelLoad", model_name="nope")
