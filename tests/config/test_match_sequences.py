import pytest

from despina.config.match_sequences import match_controls, match_states
from despina.config.read import parse_text
from despina.errors import InvalidArgument
from despina_backends.base import TensorMetadata

STATE = 'state { input_name: "s" output_name: "t" data_type: TYPE_INT32 dims: [ -1, 2 ] }'


def match(fields: str, *, max_batch_size: int = 4, **tensors: tuple[str, tuple[int, ...]]) -> None:
    config = parse_text(f'name: "m" max_batch_size: {max_batch_size} sequence_batching {{ {fields} }}')
    metadata = {name: TensorMetadata(name, datatype, shape) for name, (datatype, shape) in tensors.items()}
    match_controls(config, metadata)
    match_states(config, metadata, metadata)


def control(what: str) -> str:
    return f'control_input {{ name: "C" control {{ {what} }} }}'


@pytest.mark.parametrize(
    ("what", "datatype"),
    [
        ("int32_false_true: [ 0, 1 ]", "INT32"),
        ("fp32_false_true: [ 0, 1 ]", "FP32"),
        ("bool_false_true: [ false, true ]", "BOOL"),
        ("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64", "UINT64"),
        ("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING", "BYTES"),
    ],
)
def test_a_control_has_the_type_of_its_values(what: str, datatype: str) -> None:
    match(control(what), C=(datatype, (-1, 1)))
    match(control(what), max_batch_size=0, C=(datatype, (1,)))


@pytest.mark.parametrize(
    ("what", "tensor", "message"),
    [
        (
            "int32_false_true: [ 0, 1 ]",
            ("FP32", (-1, 1)),
            "unable to load model 'm', sequence control 'C', the model expects data-type FLOAT but the model "
            "configuration specifies data-type TYPE_INT32",
        ),
        (
            "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64",
            ("BYTES", (-1, 1)),
            "unable to load model 'm', sequence control 'C', the model expects data-type STRING but the model "
            "configuration specifies data-type TYPE_INT64",
        ),
        (
            "int32_false_true: [ 0, 1 ]",
            ("INT32", (-1, 2)),
            "unable to load model 'm', sequence control 'C' in model has dims [2] but dims [1] is expected",
        ),
        (
            "int32_false_true: [ 0, 1 ]",
            ("INT32", (-1,)),
            "unable to load model 'm', sequence control 'C' in model has dims [] but dims [1] is expected",
        ),
    ],
)
def test_controls_that_do_not_fit(what: str, tensor: tuple[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        match(control(what), C=tensor)
    assert caught.value.message == message


@pytest.mark.parametrize("shape", [(-1, -1, 2), (-1, 7, 2), (-1, 7, -1)])
def test_states_that_fit(shape: tuple[int, ...]) -> None:
    match(STATE, s=("INT32", shape), t=("INT32", shape))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            ("FP32", (-1, 1, 2)),
            ("INT32", (-1, 1, 2)),
            "unable to load model 'm', configuration expects datatype TYPE_INT32 for state input 's', model provides "
            "TYPE_FP32",
        ),
        (
            ("INT32", (-1, 1, 2)),
            ("INT32", (-1, 1, 3)),
            "unable to load model 'm', configuration expects shape [-1,-1,2] for state output 't', model "
            "provides [-1,1,3]",
        ),
        (
            ("INT32", (-1, 2)),
            ("INT32", (-1, 1, 2)),
            "unable to load model 'm', configuration expects shape [-1,-1,2] for state input 's', model "
            "provides [-1,2]",
        ),
    ],
)
def test_states_that_do_not_fit(inputs, outputs, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        match(STATE, s=inputs, t=outputs)
    assert caught.value.message == message
