import mmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.models.batch_layout import BatchLayout
from despina.models.layers import with_layers
from despina.scheduling.cached_requests import CachedRequests
from despina.scheduling.pending import Pending
from despina.scheduling.ragged import RaggedLayout, ScatteredOutputs
from despina.scheduling.response_cache import ResponseCache
from despina.scheduling.shape_buckets import BucketedRequests, ShapeBucket
from despina.shared_memory.guarded_map import GuardedMap
from despina.telemetry.statistics import ModelStatistics

PAGE = mmap.PAGESIZE
CACHED = "response_cache { enable: true }"
BUCKETS = BatchLayout(buckets=(ShapeBucket("x", 1, (4,)),))
SCATTERED = BatchLayout(RaggedLayout(scattered={"y": "x"}))


class Innermost:
    busy = False

    def submit(self, pending: Pending) -> None: ...

    def request_gone(self, pending: Pending) -> None: ...

    def when_idle(self, callback: object) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("text", "layout", "cache", "kinds"),
    [
        ("", BatchLayout(), ResponseCache(1), [Innermost]),
        (CACHED, BatchLayout(), None, [Innermost]),
        (CACHED, BatchLayout(), ResponseCache(1), [CachedRequests, Innermost]),
        ("", BUCKETS, None, [BucketedRequests, Innermost]),
        ("", SCATTERED, None, [ScatteredOutputs, Innermost]),
        ("", BatchLayout(RaggedLayout(frozenset({"x"}))), None, [Innermost]),
        (CACHED, BUCKETS, ResponseCache(1), [CachedRequests, BucketedRequests, Innermost]),
    ],
)
def test_what_goes_around_a_scheduler(
    text: str, layout: BatchLayout, cache: ResponseCache | None, kinds: list[type]
) -> None:
    config = text_format.Parse(f'name: "m" {text}', ModelConfig())
    clock: Any = None
    scheduler: Any = with_layers(Innermost(), config, layout, clock, ModelStatistics(), cache)
    found = [type(scheduler)]
    while hasattr(scheduler, "_inner"):
        scheduler = scheduler._inner
        found.append(type(scheduler))
    assert found == kinds


def test_the_cache_keeps_an_input_that_a_client_can_change_as_it_was(tmp_path: Path) -> None:
    clock: Any = SimpleNamespace(now_ns=lambda: 1)
    path = tmp_path / "segment"
    path.write_bytes(bytes(PAGE))
    with path.open("r+b") as opened:
        shared = np.frombuffer(GuardedMap(opened.fileno(), 0, PAGE).view, np.uint8)
        config = text_format.Parse(f'name: "m" {CACHED}', ModelConfig())
        scheduler: Any = with_layers(Innermost(), config, BatchLayout(), clock, ModelStatistics(), ResponseCache(1))
        pending = Pending({"x": shared}, 1, lambda _: None)
        scheduler.submit(pending)
        opened.write(b"\1")
    assert (shared[0], pending.inputs["x"][0]) == (1, 0)
