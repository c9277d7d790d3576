import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.models.batch_layout import BatchLayout
from despina.models.grouping import group_rows
from despina.models.schedulers import SchedulingOptions
from despina.scheduling.ragged import RaggedLayout
from despina.scheduling.request_queue import QueueLimits
from despina.scheduling.response_cache import ResponseCache

PLAIN = 'max_batch_size: 8 input { name: "IN" dims: 4 } '


def rows(text: str, options: SchedulingOptions | None = None, layout: BatchLayout | None = None) -> int:
    config = text_format.Parse('name: "m" ' + text, ModelConfig())
    return group_rows(config, options or SchedulingOptions(), layout or BatchLayout())


@pytest.mark.parametrize(
    ("batching", "grouped"),
    [
        ("", 8),
        ("preferred_batch_size: 8", 8),
        ("max_queue_delay_microseconds: 100", 8),
        ("preserve_ordering: true", 8),
        ("default_queue_policy { timeout_action: DELAY }", 8),
        ("preferred_batch_size: 4", 0),
        ("priority_levels: 2 default_priority_level: 1", 0),
        ("default_queue_policy { max_queue_size: 3 }", 0),
        ("default_queue_policy { default_timeout_microseconds: 9 }", 0),
        ("default_queue_policy { allow_timeout_override: true }", 0),
    ],
)
def test_requests_go_together_up_to_a_full_batch_unless_a_rule_forbids_it(batching: str, grouped: int) -> None:
    assert rows(f"{PLAIN} dynamic_batching {{ {batching} }}") == grouped


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        'max_batch_size: 0 input { name: "IN" dims: 4 } dynamic_batching {}',
        'max_batch_size: 8 input { name: "IN" dims: -1 } dynamic_batching {}',
        'max_batch_size: 8 input { name: "IN" dims: 4 optional: true } dynamic_batching {}',
        f"{PLAIN} sequence_batching {{ direct {{}} }}",
        PLAIN + 'dynamic_batching {} parameters { key: "slo_p99_ms" value { string_value: "5" } }',
        PLAIN + 'dynamic_batching {} parameters { key: "allow_oversize_requests" value { string_value: "true" } }',
    ],
)
def test_without_dynamic_batching_of_equal_requests_each_goes_by_itself(text: str) -> None:
    assert rows(text) == 0


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ('max_batch_size: 8 input { name: "IN" dims: -1 } dynamic_batching {}', 8),
        ('max_batch_size: 8 input { name: "IN" dims: -1 } dynamic_batching { preferred_batch_size: 4 }', 0),
        ('max_batch_size: 0 input { name: "IN" dims: -1 } dynamic_batching {}', 0),
        ('max_batch_size: 8 input { name: "IN" dims: -1 }', 0),
    ],
)
def test_requests_of_equal_shapes_go_together_where_the_model_takes_others(text: str, grouped: int) -> None:
    config = text_format.Parse('name: "m" ' + text, ModelConfig())
    assert group_rows(config, SchedulingOptions(), BatchLayout(), equal_shapes=True) == grouped


@pytest.mark.parametrize(("limit", "grouped"), [(0, 8), (7, 0), (8, 8)])
def test_a_queue_with_less_room_than_a_batch_counts_requests_one_by_one(limit: int, grouped: int) -> None:
    assert rows(f"{PLAIN} dynamic_batching {{}}", SchedulingOptions(queue_limits=QueueLimits(rows=limit))) == grouped


def test_requests_that_are_cached_held_back_or_laid_out_go_by_themselves() -> None:
    text = f"{PLAIN} dynamic_batching {{}} response_cache {{ enable: true }}"
    assert rows(text) == 8
    assert rows(text, SchedulingOptions(cache=ResponseCache(1000))) == 0
    assert rows(text, SchedulingOptions(hold_requests=3)) == 0
    assert rows(text, layout=BatchLayout(ragged=RaggedLayout(frozenset({"IN"}), (), {}))) == 0
