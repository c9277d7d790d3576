from typing import Any

import pytest
from benchmarks.shared_memory import SHARED, register_segment, segment


def test_a_segment_is_zeros_and_gone_afterwards() -> None:
    with segment("test", 10_000) as path:
        assert path.parent == SHARED
        assert path.read_bytes() == bytes(10_000)
    assert not path.exists()


def test_a_segment_is_gone_after_an_interruption() -> None:
    with pytest.raises(SystemExit), segment("test", 8) as path:
        raise SystemExit(143)
    assert not path.exists()


def test_a_segment_is_registered_as_a_whole(posts: tuple[int, list[tuple[str, Any]]]) -> None:
    port, seen = posts
    with segment("test", 8) as path:
        register_segment(port, "r", path)
    assert seen == [
        ("/v2/systemsharedmemory/region/r/register", {"key": f"/{path.name}", "offset": 0, "byte_size": 8}),
    ]
