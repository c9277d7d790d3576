"""The document about the server: everything that is answered is in it, and what it says about a model is true."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import text_format
from tests.support.asking import ask
from tests.support.serving import serving

from despina.config.proto import ModelConfig
from despina.http.endpoint import Endpoint
from despina.http.endpoints import ALL, endpoints
from despina.http.openapi import document
from despina.http.tensor_schema import request_example
from despina.models.signature import Signature
from despina.settings import Settings

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(REPOSITORY, ["--http-restricted-api=trace:key=value"]) as port:
        yield port


def described(port: int) -> dict[str, Any]:
    status, headers, body = ask(port, "GET", "/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(body)
    return found


def model(text: str) -> Any:
    config = ModelConfig()
    text_format.Parse(text, config)
    return SimpleNamespace(name=config.name, version=1, config=config, signature=Signature(config))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_endpoint_is_described() -> None:
    found = document(endpoints(Settings(kserve=True)), [], "1.2")
    assert found["info"]["version"] == "1.2"
    there = {(path, method) for path, method, _ in operations(found)}
    for endpoint in ALL:
        for method in endpoint.methods:
            assert (endpoint.path.replace("{version:int}", "{version}"), method.lower()) in there


def test_operations_have_names_of_their_own_and_say_what_they_do() -> None:
    found = document(endpoints(Settings(kserve=True)), [model('name: "a b"')], "1")
    listed = list(operations(found))
    assert len({operation["operationId"] for _, _, operation in listed}) == len(listed)
    assert all(operation["summary"] for _, _, operation in listed)


def test_every_endpoint_has_a_text_of_its_own() -> None:
    assert not {endpoint.handle for endpoint in ALL if not inspect.getdoc(endpoint.handle)}


def test_every_part_of_a_path_is_a_parameter() -> None:
    for path, _, operation in operations(document(ALL, [model('name: "m"')], "1")):
        declared = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))


def test_the_text_of_an_operation_is_the_docstring_of_its_function() -> None:
    async def handle(request: Any, server: Any) -> Any:
        """Does one thing. And, when asked,
        another."""

    async def other(request: Any, server: Any) -> Any:
        """Does nothing else."""

    rows = (Endpoint(("GET",), "/a", None, handle), Endpoint(("GET",), "/b", "x", other))
    paths = document(rows, [], "1")["paths"]
    assert paths["/a"]["get"]["summary"] == "Does one thing"
    assert paths["/a"]["get"]["description"] == "Does one thing. And, when asked, another."
    assert paths["/b"]["get"]["summary"] == "Does nothing else"
    assert "description" not in paths["/b"]["get"]


def test_references_lead_somewhere() -> None:
    found = document(ALL, [model('name: "m" output { name: "y" data_type: TYPE_FP32 dims: [1] }')], "1")
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(found))
    assert references
    assert set(references) <= found["components"]["schemas"].keys()


def test_a_model_is_described_by_its_tensors() -> None:
    text = """name: "a/b" max_batch_size: 8
        input { name: "x" data_type: TYPE_INT64 dims: [ -1, 2 ] }
        input { name: "s" data_type: TYPE_STRING dims: [ 1 ] optional: true }
        output { name: "y" data_type: TYPE_FP16 dims: [ 3 ] }"""
    content = document((), [model(text)], "1")["paths"]["/v2/models/a%2Fb/infer"]["post"]["requestBody"]["content"]
    inputs = content["application/json"]["schema"]["properties"]["inputs"]
    assert (inputs["minItems"], inputs["maxItems"]) == (1, 2)
    first, second = inputs["items"]["oneOf"]
    assert first["properties"]["name"] == {"const": "x"}
    assert first["properties"]["datatype"] == {"const": "INT64"}
    batch, variable, fixed = first["properties"]["shape"]["prefixItems"]
    assert (batch["minimum"], variable, fixed) == (1, {"type": "integer", "minimum": 0}, {"const": 2})
    assert first["properties"]["data"]["items"]["anyOf"][0] == {"type": "integer", "format": "int64"}
    assert second["description"] == "optional"
    assert content["application/json"]["example"] == {
        "inputs": [{"name": "x", "shape": [1, 1, 2], "datatype": "INT64", "data": [0, 0]}]
    }


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ('input { name: "x" data_type: TYPE_FP16 dims: [ 1 ] }', None),
        ('input { name: "x" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] }', None),
        ("", {"inputs": []}),
    ],
)
def test_an_example_is_short_and_possible_or_not_there(text: str, example: object) -> None:
    assert request_example(model(f'name: "m" {text}').signature, stateful=False) == example


def test_the_example_of_a_stateful_model_is_a_whole_sequence() -> None:
    example = request_example(model('name: "m"').signature, stateful=True)
    assert example is not None
    assert example["parameters"] == {"sequence_id": 1, "sequence_start": True, "sequence_end": True}


def test_the_newest_of_two_versions_is_described() -> None:
    old = model('name: "m" input { name: "old" data_type: TYPE_FP32 dims: [ 1 ] }')
    new = model('name: "m" input { name: "new" data_type: TYPE_FP32 dims: [ 1 ] }')
    new.version = 2
    text = json.dumps(document((), [new, old], "1"))
    assert '"new"' in text
    assert '"old"' not in text


def test_the_examples_are_taken_by_the_models(port: int) -> None:
    taken = 0
    for path, method, operation in operations(described(port)):
        example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        if example is not None:
            status, _, body = ask(port, method.upper(), path, json.dumps(example).encode())
            assert status == 200, body
            assert json.loads(body)["model_name"] in path
            taken += 1
    assert taken == 3


def test_the_page_needs_nothing_from_elsewhere(port: int) -> None:
    status, headers, body = ask(port, "GET", "/docs")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"Despina" in body
    assert not re.search(rb"""https?://|//cdn|src\s*=|@import""", body)


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_only_get_is_answered(port: int, path: str) -> None:
    assert ask(port, "POST", path, b"{}")[0] == 405


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_whoever_may_not_see_metadata_does_not_see_it_here(path: str) -> None:
    flags = ["--http-restricted-api=metadata:key=value", "--api-key=secret"]
    with serving(REPOSITORY, ["--model-control-mode=explicit", *flags]) as port:
        assert ask(port, "GET", path)[0] == 401
        assert ask(port, "GET", path, headers={"Authorization": "Bearer secret"})[0] == 403
        assert ask(port, "GET", path, headers={"Authorization": "Bearer secret", "key": "value"})[0] == 200
