"""Checks of a sequence model's implicit states, made when the model is loaded (config §2.3, §6.1)."""

from despina.config.proto import Message, ModelConfig
from despina.errors import InvalidArgument


def validate_states(config: ModelConfig) -> None:
    """Raises InvalidArgument."""
    seen: set[str] = set()
    for state in config.sequence_batching.state:
        if len(state.initial_state) > 1:
            raise InvalidArgument(
                f"initial_state field for state input '{state.input_name}' must contain exactly one or zero element. "
                f"Found '{len(state.initial_state)}' elements."
            )
        for initial in state.initial_state:
            _validate_initial(state, initial)
        if state.input_name in seen:
            raise InvalidArgument(f"State input name '{state.input_name}' specified more than once.")
        seen.add(state.input_name)


def _validate_initial(state: Message, initial: Message) -> None:
    name = state.input_name
    if initial.data_type != state.data_type:
        raise InvalidArgument(
            f"The data type used for 'initial_state' field of state '{name}' does not match the state data type."
        )
    if not initial.name:
        raise InvalidArgument(f"Field 'name' must be set when using initial_state for state input '{name}'.")
    if len(initial.dims) != len(state.dims):
        raise InvalidArgument(
            "Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input "
            f"'{name}'. {len(initial.dims)} != {len(state.dims)}"
        )
    for got, expected in zip(initial.dims, state.dims, strict=True):
        if got == -1:
            raise InvalidArgument(f"'initial_state' field for state input name '{name}' contains variable dimensions.")
        if expected not in (-1, got):
            raise InvalidArgument(
                f"'initial_state' dim for input name '{name}' doesn't match 'state' dim description. {got} != "
                f"{expected}"
            )
    if initial.WhichOneof("state_data") is None:
        # The missing space is the original's.
        raise InvalidArgument(f"initial_state setting expects state'{name}' to have state_data set")
