import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.validate_states import validate_states
from despina.errors import InvalidArgument


def config(*states: str) -> ModelConfig:
    fields = "".join(f'state {{ input_name: "s" data_type: TYPE_INT32 dims: 1 {state} }}' for state in states)
    return parse_text(f'name: "m" sequence_batching {{ {fields} }}')


GOOD = 'initial_state { name: "zero" data_type: TYPE_INT32 dims: 1 zero_data: true }'


def test_sensible_states_pass() -> None:
    validate_states(config(GOOD))
    validate_states(config(""))
    validate_states(ModelConfig(name="m"))


def test_an_initial_state_settles_variable_dimensions() -> None:
    state = f'input_name: "s" data_type: TYPE_INT32 dims: [ -1, 2 ] {GOOD.replace("dims: 1", "dims: [ 5, 2 ]")}'
    validate_states(parse_text(f'name: "m" sequence_batching {{ state {{ {state} }} }}'))


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (
            [GOOD.replace("INT32", "FP32")],
            "The data type used for 'initial_state' field of state 's' does not match the state data type.",
        ),
        (
            [GOOD.replace("zero", "", 1)],
            "Field 'name' must be set when using initial_state for state input 's'.",
        ),
        (
            [GOOD.replace("dims: 1", "dims: [ 1, 2 ]")],
            "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input 's'. "
            "2 != 1",
        ),
        (
            [GOOD + GOOD],
            "initial_state field for state input 's' must contain exactly one or zero element. Found '2' elements.",
        ),
        (
            [GOOD.replace("dims: 1", "dims: -1")],
            "'initial_state' field for state input name 's' contains variable dimensions.",
        ),
        (
            [GOOD.replace("dims: 1", "dims: 2")],
            "'initial_state' dim for input name 's' doesn't match 'state' dim description. 2 != 1",
        ),
        ([GOOD.replace("zero_data: true", "")], "initial_state setting expects state's' to have state_data set"),
        ([GOOD, GOOD], "State input name 's' specified more than once."),
    ],
)
def test_contradicting_states_are_refused(states: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate_states(config(*states))
    assert caught.value.message == message
