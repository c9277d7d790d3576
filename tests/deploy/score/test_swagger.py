"""What a service says of itself, and what it takes from that."""

import json
from pathlib import Path

import pytest
from tests.support.score_app import ECHO, SCHEMA, Start, ask

from despina.deploy.score.script import ScriptError


def test_swagger_is_generated_in_three_versions(start: Start) -> None:
    app = start(ECHO, service_name="my-service", path_prefix="api/v1/service/my-service")
    two, three, latest = (
        json.loads(ask(app, "GET", f"/swagger.json{q}").body) for q in ("", "?version=3", "?version=3.1")
    )
    assert (two["swagger"], three["openapi"], latest["openapi"]) == ("2.0", "3.0.3", "3.1.0")
    for document in (two, three, latest):
        assert document["info"]["title"] == "my-service"
        assert "/api/v1/service/my-service/score" in document["paths"]


def test_authors_own_swagger_wins(start: Start, tmp_path: Path) -> None:
    (tmp_path / "swagger2.json").write_text('{"swagger": "2.0", "mine": true}')
    app = start(ECHO)
    assert json.loads(ask(app, "GET", "/swagger.json").body) == {"swagger": "2.0", "mine": True}
    assert "openapi" in json.loads(ask(app, "GET", "/swagger.json?version=3.0").body)
    (tmp_path / "swagger2.json").write_text("{")
    with pytest.raises(ScriptError, match="A swagger file in the app root cannot be read"):
        start(ECHO)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b'{"data": [[1, 2], [3, 4]]}', "application/json", 200, None),
        (b'{"data": [[3, 7]], "scale": 0}', "application/json", 200, None),
        (b'{"data": [[1, 2]]}', "text/plain", 415, "Expects Content-Type to be application/json"),
        (b"", "application/json", 400, "POST body is empty. Expecting a JSON dictionary."),
        (b"[1]", "application/json", 400, "POST body should be a JSON dictionary."),
        (b'{"scale": 2}', "application/json", 400, "A value is not provided for the 'data' parameter."),
        (
            b'{"data": [[1, 2, 3]]}',
            "application/json",
            500,
            "An unexpected error occurred in scoring script. Check the logs for more info.",
        ),
    ],
)
def test_schemas_make_arguments(start: Start, body: bytes, content_type: str, status: int, message: str | None) -> None:
    answer = ask(start(SCHEMA), body=body, content_type=content_type)
    assert answer.status == status
    if message is None:
        assert json.loads(answer.body) == ([0.0] if b"scale" in body else [6.0, 14.0])
    else:
        assert answer.message == message


def test_schemas_take_arguments_from_the_query_and_describe_themselves(start: Start) -> None:
    app = start(SCHEMA)
    assert json.loads(ask(app, "GET", "/score?data=[[1,2]]&scale=10").body) == [30.0]
    document = json.loads(ask(app, "GET", "/swagger.json").body)
    assert document["definitions"]["ServiceInput"]["properties"].keys() == {"data", "scale"}
