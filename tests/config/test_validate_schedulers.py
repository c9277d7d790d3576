import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.validate_schedulers import validate_dynamic_batching, validate_sequence_batching
from despina.errors import InvalidArgument


def config(text: str) -> ModelConfig:
    return parse_text(f'name: "m" max_batch_size: 4 {text}')


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "preferred_batch_size: [ 1, 4 ]",
        "priority_levels: 2 default_priority_level: 2 priority_queue_policy { key: 2 value { } }",
        "preserve_ordering: true priority_levels: 1 default_priority_level: 1",
        "preserve_ordering: true default_queue_policy { timeout_action: DELAY }",
        "default_priority_level: 9",
    ],
)
def test_sensible_dynamic_batching_passes(fields: str) -> None:
    validate_dynamic_batching(config(f"dynamic_batching {{ {fields} }}"))


DELAY = "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m"
ORDER = "Only one priority level is allowed when 'preserve_ordering' is true for m"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("preferred_batch_size: 0", "dynamic batching preferred size must be positive for m"),
        ("preferred_batch_size: -1", "dynamic batching preferred size must be positive for m"),
        ("preferred_batch_size: [ 2, 5 ]", "dynamic batching preferred size must be <= max batch size for m"),
        ("priority_levels: 3", "default priority level must be in range [1, 3] for m"),
        ("priority_levels: 3 default_priority_level: 4", "default priority level must be in range [1, 3] for m"),
        (
            "priority_levels: 3 default_priority_level: 1 priority_queue_policy { key: 4 value { } }",
            "priority queue policy must have priority level in range [1, 3] for m",
        ),
        (
            "priority_levels: 3 default_priority_level: 1 priority_queue_policy { key: 0 value { } }",
            "priority queue policy must have priority level in range [1, 3] for m",
        ),
        ("preserve_ordering: true priority_levels: 2 default_priority_level: 1", ORDER),
        (
            "preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 1 }",
            DELAY,
        ),
        (
            "preserve_ordering: true priority_queue_policy "
            "{ key: 1 value { timeout_action: DELAY default_timeout_microseconds: 1 } }",
            DELAY,
        ),
    ],
)
def test_contradicting_dynamic_batching_is_refused(fields: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_dynamic_batching(config(f"dynamic_batching {{ {fields} }}"))
    assert caught.value.message == message


def control(name: str, fields: str) -> str:
    return f'control_input {{ name: "{name}" control {{ {fields} }} }}'


START = control("START", "kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]")
CORRID = "kind: CONTROL_SEQUENCE_CORRID "


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "direct { minimum_slot_utilization: 1 }",
        "oldest { preferred_batch_size: 4 }",
        START + control("READY", "kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ]"),
        START + control("END", "kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ]"),
        control("ID", CORRID + "data_type: TYPE_STRING"),
    ],
)
def test_sensible_sequence_batching_passes(fields: str) -> None:
    validate_sequence_batching(config(f"sequence_batching {{ {fields} }}"))


ONE_PAIR = "either 'int32_false_true', 'fp32_false_true' or 'bool_false_true'"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            control("", "int32_false_true: [ 0, 1 ]"),
            "sequence batching control tensor must have a name for m",
        ),
        (
            START + control("START", "kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ]"),
            "sequence batching control tensor 'START' is specified for multiple control kinds for m",
        ),
        (
            START + control("OTHER", "kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]"),
            "sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m",
        ),
        (
            control("END", "kind: CONTROL_SEQUENCE_END"),
            f"sequence batching must specify {ONE_PAIR} for CONTROL_SEQUENCE_END for m",
        ),
        (
            control("END", "kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] fp32_false_true: [ 0, 1 ]"),
            f"sequence batching specifies more than one from {ONE_PAIR} for CONTROL_SEQUENCE_END for m",
        ),
        (
            control("READY", "kind: CONTROL_SEQUENCE_READY bool_false_true: [ false ]"),
            "sequence batching control 'bool_false_true' must have exactly 2 entries for CONTROL_SEQUENCE_READY for m",
        ),
        (
            control("ID", CORRID + "data_type: TYPE_FP32"),
            "unexpected data type for control CONTROL_SEQUENCE_CORRID for m. Allowed data types are TYPE_UINT64, "
            "TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
        ),
        (
            control("ID", CORRID + "int32_false_true: [ 0, 1 ]"),
            f"sequence batching must not specify {ONE_PAIR} for CONTROL_SEQUENCE_CORRID for m",
        ),
        ("oldest { preferred_batch_size: 0 }", "sequence batching preferred batch size must be positive for m"),
        (
            "oldest { preferred_batch_size: 5 }",
            "sequence batching preferred batch size must be <= max batch size for m",
        ),
        (
            "direct { minimum_slot_utilization: 1.5 }",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m",
        ),
        (
            "direct { minimum_slot_utilization: -0.5 }",
            "sequence batching minimum slot utilization must be in range (0.0, 1.0] for m",
        ),
    ],
)
def test_contradicting_sequence_batching_is_refused(fields: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_sequence_batching(config(f"sequence_batching {{ {fields} }}"))
    assert caught.value.message == message
