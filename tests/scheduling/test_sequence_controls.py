from dataclasses import replace

import numpy as np
import pytest
from tests.support.sequences import PLAN, flag

from despina.errors import InvalidArgument
from despina.scheduling.pending import Pending
from despina.scheduling.sequence_controls import Controls, check_sequence_request
from despina.scheduling.sequence_plan import CorrelationControl, FlagControl


def request(correlation_id: int | str = 5, rows: int = 1, *, start: bool = False, end: bool = False) -> Pending:
    return Pending({}, rows, print, correlation_id=correlation_id, sequence_start=start, sequence_end=end)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("end", [False, True])
def test_flags_say_what_the_request_says(start, end) -> None:
    controls = Controls(PLAN).of(request(start=start, end=end))
    values = {name: int(array[0, 0]) for name, array in controls.items()}
    assert values == {"START": start, "END": end, "READY": 1, "CORRID": 5}


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("<i4", (7, 9)), ("<f4", (-0.5, 2.5)), ("?", (True, False))],
)
def test_flags_have_the_values_and_the_type_of_the_configuration(dtype, values) -> None:
    false, true = (np.full((1, 1), value, dtype) for value in values)
    plan = replace(PLAN, flags=(FlagControl("START", "S", false, true),), correlation=None)
    began, went_on = Controls(plan).of(request(start=True))["S"], Controls(plan).of(request())["S"]
    assert (began.item(), went_on.item(), began.dtype) == (values[1], values[0], np.dtype(dtype))


def test_a_row_without_a_request_is_neither_ready_nor_anybody() -> None:
    absent = Controls(PLAN).absent
    assert {name: array.item() for name, array in absent.items()} == {"START": 0, "END": 0, "READY": 0, "CORRID": 0}


@pytest.mark.parametrize(
    ("datatype", "correlation_id", "value", "dtype"),
    [
        ("UINT64", 2**64 - 1, 2**64 - 1, "<u8"),
        ("INT64", 2**64 - 1, -1, "<i8"),
        ("UINT32", 2**32 + 7, 7, "<u4"),
        ("INT32", 2**32 - 2, -2, "<i4"),
        ("BYTES", "äx", "äx".encode(), "O"),
        ("BYTES", "x" * 128, b"x" * 128, "O"),
    ],
)
def test_the_correlation_id_has_the_type_of_the_configuration(datatype, correlation_id, value, dtype) -> None:
    plan = replace(PLAN, correlation=CorrelationControl("C", datatype))
    tensor = Controls(plan).of(request(correlation_id))["C"]
    assert (tensor.shape, tensor.item(), tensor.dtype) == ((1, 1), value, np.dtype(dtype))


def test_nobody_has_an_empty_string_for_an_id() -> None:
    absent = Controls(replace(PLAN, correlation=CorrelationControl("C", "BYTES"))).absent
    assert absent["C"].tolist() == [[b""]]


def test_controls_of_a_model_without_a_batch_dimension_have_one_dimension() -> None:
    plan = replace(PLAN, max_batch_size=0, flags=(flag("START", (1,)),))
    assert {array.shape for array in Controls(plan).of(request()).values()} == {(1,)}


@pytest.mark.parametrize(
    ("datatype", "pending", "message"),
    [
        ("UINT64", request(0), "inference request to model 'm' must specify a non-zero or non-empty correlation ID"),
        ("BYTES", request(0), "inference request to model 'm' must specify a non-zero or non-empty correlation ID"),
        ("BYTES", request(""), "inference request to model 'm' must specify a non-zero or non-empty correlation ID"),
        (
            "UINT64",
            request(4, rows=2),
            "inference request to model 'm' must specify batch-size 1 due to requirements of sequence batcher",
        ),
        (
            "UINT64",
            request("a"),
            "[request id: <id_unknown>] sequence batching control 'C' data-type is 'BYTES', but model "
            "'m' expects 'UINT64'",
        ),
        (
            "INT32",
            request("a"),
            "[request id: <id_unknown>] sequence batching control 'C' data-type is 'BYTES', but model "
            "'m' expects 'INT32'",
        ),
        (
            "BYTES",
            request(7),
            "[request id: <id_unknown>] sequence batching control 'C' data-type is 'UINT64', but model "
            "'m' expects 'BYTES'",
        ),
    ],
)
def test_requests_that_cannot_belong_to_a_sequence(datatype, pending, message) -> None:
    plan = replace(PLAN, correlation=CorrelationControl("C", datatype))
    with pytest.raises(InvalidArgument) as caught:
        check_sequence_request(plan, pending)
    assert caught.value.message == message


@pytest.mark.parametrize("correlation_id", [1, 2**64 - 1, "a"])
def test_without_a_correlation_control_any_id_will_do(correlation_id) -> None:
    check_sequence_request(replace(PLAN, correlation=None), request(correlation_id))


def test_a_correlation_id_is_the_bytes_that_were_sent() -> None:
    plan = replace(PLAN, flags=(), correlation=CorrelationControl("ID", "BYTES"))
    assert Controls(plan).of(request("\udcff"))["ID"].item() == b"\xff"
