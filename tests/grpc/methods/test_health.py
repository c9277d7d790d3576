from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.grpc_methods import BY_NAME, ask_method

from despina.errors import InvalidArgument, NotFound, Unavailable


class Models:
    def get(self, name: str, version: int | None) -> None:
        if name == "leaving":
            raise Unavailable("not at ready state")
        if (name, version) not in (("digits", None), ("digits", 1)):
            raise NotFound("unknown")


def server(live: bool = True, ready: bool = True, exiting: bool = False) -> Any:
    def check_not_exiting() -> None:
        if exiting:
            raise Unavailable("Server exiting")

    return SimpleNamespace(is_live=live, is_ready=ready, check_not_exiting=check_not_exiting, models=Models())


@pytest.mark.parametrize("yes", [True, False])
async def test_the_server_is_live_and_ready_or_not(yes: bool) -> None:
    assert (await ask_method(server(live=yes, ready=not yes), "ServerLive")).live is yes
    assert (await ask_method(server(live=not yes, ready=yes), "ServerReady")).ready is yes


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("digits", "", True),
        ("digits", "1", True),
        ("digits\0x", "1", True),
        ("digits", "2", False),
        ("nope", "", False),
        ("leaving", "1", False),
        ("", "", False),
    ],
)
async def test_a_model_that_is_not_there_is_an_error(name: str, version: str, expected: bool) -> None:
    if expected:
        assert (await ask_method(server(), "ModelReady", name=name, version=version)).ready is True
    else:
        with pytest.raises((NotFound, Unavailable)):
            await ask_method(server(), "ModelReady", name=name, version=version)


async def test_a_version_that_is_none_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="failed to get model version from specified version string 'x'"):
        await ask_method(server(), "ModelReady", name="digits", version="x")


@pytest.mark.parametrize("method", ["ServerLive", "ServerReady", "Check"])
async def test_a_server_that_is_ending_says_so(method: str) -> None:
    with pytest.raises(Unavailable, match="Server exiting"):
        await ask_method(server(exiting=True), method)


@pytest.mark.parametrize(("ready", "expected"), [(True, b"\x08\x01"), (False, b"\x08\x02")])
@pytest.mark.parametrize("asked", [b"", b"\x0a\x03abc"])
async def test_a_health_check_asks_whether_the_server_is_ready(ready: bool, expected: bytes, asked: bytes) -> None:
    check = BY_NAME["Check"]
    answer = await check.handle(check.request.FromString(asked), server(ready=ready))
    assert answer.SerializeToString() == expected
