from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Scope

from despina.errors import InvalidArgument
from despina.http.paths import path_name, path_version, received_path, unquoted


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (b"/v2/models/a", "/decoded"),
        (b"/v2/models/%61/versions/%31", "/v2/models/%61/versions/%31"),
        (b"/v2%2Fmodels/a", "/v2%2Fmodels/a"),
        (None, "/decoded"),
    ],
)
def test_a_path_with_escapes_is_matched_as_it_was_received(raw: bytes | None, seen: str) -> None:
    scope: Scope = {"type": "http", "path": "/decoded"}
    if raw is not None:
        scope["raw_path"] = raw
    assert received_path(scope) == seen
    assert received_path({"type": "http", "path": "/decoded", "raw_path": None}) == "/decoded"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("digits", "digits"),
        ("my%20model", "my model"),
        ("d%C3%A9", "d\u00e9"),
        ("%64igits", "%64igits"),
        ("d%c3%a9", "d%c3%a9"),
        ("100%", "100%"),
    ],
)
def test_only_what_clients_quote_is_unquoted(name: str, meant: str) -> None:
    assert unquoted(name) == meant


@pytest.mark.parametrize(("name", "found"), [("my%20model", "my model"), ("no%20model", "no%20model"), ("x", "x")])
def test_a_quoted_name_is_that_of_a_model_if_there_is_one(name: str, found: str) -> None:
    server: Any = SimpleNamespace(models=SimpleNamespace(versions=lambda model: [1] if model == "my model" else []))
    request = Request({"type": "http", "path_params": {"model": name}})
    assert path_name(request, server) == found


def test_a_path_without_a_model_names_none() -> None:
    server: Any = SimpleNamespace()
    assert path_name(Request({"type": "http", "path_params": {}}), server) is None


@pytest.mark.parametrize(
    ("text", "version"),
    [("1", 1), ("0", 0), ("007", 7), ("0" * 5000 + "1", 1), ("000", 0), (str((1 << 63) - 1), (1 << 63) - 1)],
)
def test_a_version_may_begin_with_zeros(text: str, version: int) -> None:
    assert path_version(Request({"type": "http", "path_params": {"version": text}})) == version


@pytest.mark.parametrize("text", [str(1 << 63), "9" * 20, "0" + "9" * 5000])
def test_a_version_has_63_bits(text: str) -> None:
    with pytest.raises(InvalidArgument, match="failed to get model version from specified version string"):
        path_version(Request({"type": "http", "path_params": {"version": text}}))
