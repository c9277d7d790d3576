from typing import Any

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
from despina.telemetry.statistics import ModelStatistics

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
