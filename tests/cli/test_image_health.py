"""Whether the server of a container is found by the command line it was started with."""

from pathlib import Path

import pytest
from tests.support.serving import free_port, serving

from despina.cli.image_health import is_live, settings_of
from despina.settings import Settings

REPOSITORY = Path(__file__).parents[1] / "conformance" / "repo_main"


def command(*words: str) -> bytes:
    return b"".join(word.encode() + b"\0" for word in words)


@pytest.mark.parametrize("before", [("despina",), ("/opt/despina/bin/python", "/opt/despina/bin/despina")])
@pytest.mark.parametrize("init", [(), ("/sbin/docker-init", "--")])
@pytest.mark.parametrize("name", [("serve",), ()])
def test_flags_of_the_first_process_count(
    before: tuple[str, ...], init: tuple[str, ...], name: tuple[str, ...]
) -> None:
    flags = ("--model-repository=/models", "--http-port", "8080", "--http-address=127.0.0.2")
    settings = settings_of(command(*init, *before, *name, *flags))
    assert (settings.http_port, settings.http_address) == (8080, "127.0.0.2")


@pytest.mark.parametrize(
    "words", [("sh", "-c", "despina serve --http-port=1"), ("despina",), ("despina", "score", "serve"), ("serve", "-x")]
)
def test_of_another_first_process_the_server_is_where_it_usually_is(words: tuple[str, ...]) -> None:
    assert settings_of(command(*words)) == Settings()


def test_a_server_is_live_when_it_answers() -> None:
    flags = ["--model-control-mode=explicit"]
    with serving(REPOSITORY, flags) as port:
        assert is_live(Settings(http_port=port))
    assert not is_live(Settings(http_port=port))
    with serving(REPOSITORY, [*flags, "--http-restricted-api=health:key=value"]) as port:
        assert is_live(Settings(http_port=port, http_address="127.0.0.1"))


@pytest.mark.parametrize("settings", [Settings(allow_http=False, http_port=1), Settings(http_port=0)])
def test_who_cannot_be_asked_is_not_ended_for_it(settings: Settings) -> None:
    assert is_live(settings)


def test_nobody_is_at_a_free_port() -> None:
    assert not is_live(Settings(http_port=free_port()))
