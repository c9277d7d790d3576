import pytest

from despina.config.compare import can_update_in_place
from despina.config.proto import ModelConfig
from despina.config.read import parse_text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("", True),
        ("instance_group { count: 4 }", True),
        ("version_policy { all { } }", True),
        ("instance_group { count: 4 } version_policy { all { } }", True),
        ("max_batch_size: 8", False),
        ("instance_group { count: 4 } dynamic_batching { }", False),
    ],
)
def test_only_instances_and_versions_change_in_place(change: str, expected: bool) -> None:
    old = ModelConfig(name="m")
    new = parse_text(f'name: "m" {change}')
    assert can_update_in_place(old, new) is expected
    assert can_update_in_place(new, old) is expected
