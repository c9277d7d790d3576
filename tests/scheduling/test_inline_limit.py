"""How long batches on the loop's thread may take."""

import pytest

from despina.scheduling.inline_limit import FEW_CORES_NS, HAND_OVER_NS, inline_limit_ns


@pytest.mark.parametrize(
    ("cores", "instances", "limit_ns"),
    [
        (1, 1, FEW_CORES_NS),
        (2, 1, FEW_CORES_NS),
        (2, 2, FEW_CORES_NS // 2),
        (2, 100, HAND_OVER_NS),
        (2, 0, FEW_CORES_NS),
        (3, 1, HAND_OVER_NS),
        (64, 8, HAND_OVER_NS),
    ],
)
def test_the_limit_depends_on_what_could_run_at_the_same_time(cores: int, instances: int, limit_ns: int) -> None:
    assert inline_limit_ns(cores, instances) == limit_ns
