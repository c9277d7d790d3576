from pathlib import Path

import pytest
from tests.support.workloads import KEYS, workload

from despina.deploy.kubernetes.manifests import manifests
from despina.deploy.kubernetes.render import Rendered, rendered_before, write_manifests


def test_generation_and_keys_are_those_of_the_service_alone(tmp_path: Path) -> None:
    load = workload()
    write_manifests(manifests(load), tmp_path)
    assert rendered_before(tmp_path, load.name) == Rendered(load.spec.generation, KEYS)
    assert rendered_before(tmp_path, load.name.partition("-")[0]) == Rendered()


@pytest.mark.parametrize("content", ["no json", "[]", "{}", '{"metadata": {"labels": null}}'])
def test_files_of_somebody_else_say_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "svc-values.json").write_text(content)
    assert rendered_before(tmp_path, "svc") == Rendered()
