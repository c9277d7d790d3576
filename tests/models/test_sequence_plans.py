import numpy as np
import pytest

from despina.config.normalize import normalize
from despina.config.read import parse_text
from despina.models.sequence_plans import sequence_plan, with_sequence_inputs
from despina.models.warmup import read_samples
from despina.scheduling.batch_policy import BatchPolicy
from despina.scheduling.sequence_plan import CorrelationControl, DirectStrategy, OldestStrategy

MS = 1_000_000


def config(fields: str, max_batch_size: int = 4, more: str = ""):
    return normalize(parse_text(f'name: "m" max_batch_size: {max_batch_size} sequence_batching {{ {fields} }} {more}'))


def plan(fields: str, max_batch_size: int = 4, more: str = ""):
    made = sequence_plan(config(fields, max_batch_size, more), None)
    assert made is not None
    return made


def test_a_model_without_sequences_has_no_plan() -> None:
    assert sequence_plan(parse_text('name: "m" dynamic_batching { }'), None) is None


@pytest.mark.parametrize(
    ("fields", "max_batch_size", "strategy", "slots"),
    [
        ("", 4, DirectStrategy(), 4),
        ("direct { }", 0, DirectStrategy(), 1),
        (
            "direct { max_queue_delay_microseconds: 2000 minimum_slot_utilization: 0.5 }",
            4,
            DirectStrategy(2 * MS, 0.5),
            4,
        ),
        ("oldest { }", 4, OldestStrategy(4, BatchPolicy(4, (4,))), 4),
        ("oldest { max_candidate_sequences: 9 }", 4, OldestStrategy(9, BatchPolicy(4, (4,))), 9),
        (
            "oldest { max_candidate_sequences: 2 preferred_batch_size: [ 3, 2 ] max_queue_delay_microseconds: 7 }",
            4,
            OldestStrategy(2, BatchPolicy(4, (2, 3), 7000)),
            2,
        ),
        ("oldest { }", 0, OldestStrategy(1, BatchPolicy(1)), 1),
    ],
)
def test_strategies(fields: str, max_batch_size: int, strategy: object, slots: int) -> None:
    made = plan(fields, max_batch_size)
    assert (made.strategy, made.slots) == (strategy, slots)


@pytest.mark.parametrize(("fields", "idle_ms"), [("", 1000), ("max_sequence_idle_microseconds: 5000", 5)])
def test_idle_time(fields: str, idle_ms: int) -> None:
    assert plan(fields).idle_ns == idle_ms * MS


@pytest.mark.parametrize(
    ("pair", "when_false", "when_true", "dtype"),
    [
        ("int32_false_true: [ 7, 9 ]", 7, 9, "<i4"),
        ("fp32_false_true: [ 0.5, -1 ]", 0.5, -1, "<f4"),
        ("bool_false_true: [ true, false ]", True, False, "?"),
    ],
)
@pytest.mark.parametrize("kind", ["START", "END", "READY"])
def test_flags(kind: str, pair: str, when_false: object, when_true: object, dtype: str) -> None:
    (flag,) = plan(f'control_input {{ name: "c" control {{ kind: CONTROL_SEQUENCE_{kind} {pair} }} }}').flags
    assert (flag.kind, flag.name) == (kind, "c")
    assert (flag.when_false.tolist(), flag.when_true.tolist()) == ([[when_false]], [[when_true]])
    assert flag.when_true.dtype == np.dtype(dtype)


def test_flags_of_a_model_without_a_batch_dimension_have_shape_1() -> None:
    (flag,) = plan('control_input { name: "c" control { int32_false_true: [ 0, 1 ] } }', 0).flags
    assert flag.when_true.shape == (1,)


@pytest.mark.parametrize("datatype", ["UINT64", "INT64", "UINT32", "INT32", "STRING"])
def test_correlation(datatype: str) -> None:
    fields = f'control_input {{ name: "c" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{datatype} }} }}'
    assert plan(fields).correlation == CorrelationControl("c", "BYTES" if datatype == "STRING" else datatype)
    assert plan("").correlation is None


def test_states() -> None:
    state = 'state {{ input_name: "s{0}" output_name: "t{0}" data_type: TYPE_INT32 dims: [ {1} ] {2} }}'
    fields = state.format(0, 2, "use_same_buffer_for_input_output: true") + state.format(1, -1, "")
    first, second = plan(fields, more='output { name: "t1" }').states
    assert (first.input_name, first.output_name, first.visible, first.variable) == ("s0", "t0", False, False)
    assert (second.input_name, second.visible, second.variable) == ("s1", True, True)
    assert (first.initial.tolist(), second.initial.tolist()) == ([[0, 0]], [[0]])


def test_warm_up_samples_get_the_controls_and_states_that_they_leave_out(tmp_path) -> None:
    fields = (
        'control_input { name: "START" control { int32_false_true: [ 7, 9 ] } }'
        'control_input { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [ 7, 9 ] } }'
        'state { input_name: "s" output_name: "t" data_type: TYPE_INT32 dims: 1 }'
    )
    given = "".join(
        f'inputs {{ key: "{name}" value {{ data_type: TYPE_INT32 dims: 1 zero_data: true }} }}'
        for name in ("X", "READY")
    )
    written = config(fields, more=f'model_warmup {{ name: "w" batch_size: 2 {given} }}')
    (sample,) = with_sequence_inputs(read_samples(written, tmp_path), sequence_plan(written, tmp_path))
    values = {name: [part.tolist() for part in parts] for name, parts in sample.batch().inputs.items()}
    assert values == {"START": [[[7]]] * 2, "READY": [[[0]]] * 2, "X": [[[0]]] * 2, "s": [[[0]]] * 2}
    (untouched,) = with_sequence_inputs(read_samples(written, tmp_path), None)
    assert sorted(untouched.inputs) == ["READY", "X"]
