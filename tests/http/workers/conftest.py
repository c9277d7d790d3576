from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.front_ends import LOADED, Serving, server
from tests.support.serving import REPOSITORY

SLOW = """
backend: "identity"
max_batch_size: 8
input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU count: 2 } ]
parameters { key: "execute_delay_ms" value: { string_value: "%d" } }
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    flags = ["--model-control-mode=explicit", *(f"--load-model={name}" for name in LOADED)]
    with server(REPOSITORY, flags) as serving:
        yield serving


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Models whose executions take 0, and 1000, milliseconds."""
    for name, delay_ms in (("quick", 0), ("slow", 1000)):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(f'name: "{name}"\n' + SLOW % delay_ms)
    return tmp_path
