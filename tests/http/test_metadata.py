import json
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.asking import ask_app

from despina.config.proto import ModelConfig
from despina.errors import NotFound
from despina.http.app import Application
from despina.http.endpoints import metadata
from despina.http.endpoints.metadata import MAX_DOCUMENTS
from despina.http.routes import Routes


class Models:
    """One model in several versions."""

    def __init__(self) -> None:
        self.ready: dict[int, Any] = {}

    def load(self, version: int, platform: str = "") -> None:
        self.ready[version] = SimpleNamespace(
            name="m",
            version=version,
            config=ModelConfig(name="m", platform=platform, backend="b"),
            signature=SimpleNamespace(max_batch_size=0, inputs={}, outputs={}),
            documents={},
        )

    def versions(self, name: str) -> list[int]:
        return sorted(self.ready)

    def get(self, name: str, version: int | None) -> Any:
        try:
            return self.ready[max(self.ready) if version is None else version]
        except KeyError:
            raise NotFound("no such version") from None


async def asked(models: Models, path: str) -> dict[str, Any]:
    server: Any = SimpleNamespace(settings=SimpleNamespace(http_restricted_api={}), models=models)
    answer = await ask_app(Application(server, Routes(metadata.ENDPOINTS)), "GET", path)
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = json.loads(answer.body)
    return document


async def test_metadata_names_the_versions_that_are_ready_now() -> None:
    models = Models()
    models.load(2)
    assert (await asked(models, "/v2/models/m"))["versions"] == ["2"]
    models.load(1)
    assert (await asked(models, "/v2/models/m"))["versions"] == ["1", "2"]
    assert (await asked(models, "/v2/models/m/versions/2"))["versions"] == ["2"]
    del models.ready[1]
    assert (await asked(models, "/v2/models/m"))["versions"] == ["2"]


@pytest.mark.parametrize("path", ["/v2/models/m", "/v2/models/m/versions/1", "/v2/models/m/config"])
async def test_a_version_that_was_loaded_anew_is_described_anew(path: str) -> None:
    models = Models()
    for platform in ("one", "two"):
        models.load(1, platform)
        for _ in range(2):
            assert (await asked(models, path))["platform"] == platform


async def test_a_version_does_not_keep_what_was_said_of_ever_others() -> None:
    models = Models()
    models.load(1000)
    for version in range(50):
        models.load(version)
        assert len((await asked(models, "/v2/models/m"))["versions"]) == version + 2
    assert len(models.ready[1000].documents) <= MAX_DOCUMENTS
