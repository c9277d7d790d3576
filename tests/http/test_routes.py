from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from despina.http.app import Application
from despina.http.endpoint import Endpoint
from despina.http.routes import MAX_PATH, Routes
from despina.remember import MAX_REMEMBERED


async def nothing(request: Request, server: Any) -> Response:
    raise AssertionError


ENDPOINTS = [
    Endpoint(("GET",), "/models/stats", "a", nothing),
    Endpoint(("GET",), "/models/{model}", "b", nothing),
    Endpoint(("POST",), "/models/{model}", "c", nothing),
    Endpoint(("GET",), "/models/{model}/versions/{version:int}", "d", nothing),
]


@pytest.mark.parametrize(
    ("path", "categories", "names"),
    [
        ("/models/stats", ["a"], {}),
        ("/models/m", ["b", "c"], {"model": "m"}),
        ("/models/m%2Fn", ["b", "c"], {"model": "m%2Fn"}),
        ("/models/m/versions/007", ["d"], {"model": "m", "version": "007"}),
    ],
)
def test_the_first_path_that_matches_is_found_every_time(
    path: str, categories: list[str], names: dict[str, str]
) -> None:
    routes = Routes(ENDPOINTS)
    for _ in range(2):
        found = routes.find(path)
        assert found is not None
        assert [endpoint.category for endpoint in found.endpoints] == categories
        assert found.path_params == names


@pytest.mark.parametrize("path", ["/", "/models", "/models/", "/models/m/", "/models/m/versions/x", "/models/m/n"])
def test_other_paths_are_not_found(path: str) -> None:
    routes = Routes(ENDPOINTS)
    assert routes.find(path) is None
    assert routes.find(path) is None


def test_a_bounded_number_of_paths_is_remembered_and_no_long_one() -> None:
    routes = Routes(ENDPOINTS)
    for number in range(2 * MAX_REMEMBERED):
        routes.find(f"/models/{number}")
    assert len(routes._known) <= MAX_REMEMBERED
    long = "/models/" + "m" * MAX_PATH
    assert routes.find(long) is not None
    assert long not in routes._known


async def test_an_application_has_no_lifespan_which_servers_are_told_by_an_exception() -> None:
    async def unused(*_: Any) -> Any:
        raise AssertionError

    server: Any = None
    with pytest.raises(NotImplementedError, match="no lifespan here"):
        await Application(server, Routes(ENDPOINTS))({"type": "lifespan"}, unused, unused)
