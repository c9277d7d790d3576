"""One request of a sequence, ready to be executed: its own tensors with the controls and the state added."""

from collections.abc import Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass

from despina.scheduling.formed_batch import wanted_outputs
from despina.scheduling.pending import Pending
from despina.scheduling.sequence import Sequence, Slot
from despina.scheduling.sequence_controls import Controls
from despina.scheduling.sequence_plan import SequencePlan
from despina_backends.base import Array, Batch, zeros


@dataclass(slots=True, eq=False)
class Step:
    """`inputs` have one row each. `queued_ns` is when it was handed to the batcher, not when the client's request came.
    A candidate of `batch_policy`."""

    pending: Pending
    sequence: Sequence
    slot: Slot
    inputs: Mapping[str, Array]
    shape_key: object
    queued_ns: int
    rows: int = 1


class Steps:
    """Makes the steps of one model, and executions of them."""

    def __init__(self, plan: SequencePlan) -> None:
        self._controls = Controls(plan)
        self._batches_rows = plan.max_batch_size > 0
        self._state_inputs = tuple(state.input_name for state in plan.states)
        self._state_outputs = tuple(state.output_name for state in plan.states)
        self._variable_states = any(state.variable for state in plan.states)
        self.initial = tuple(state.initial for state in plan.states)
        """The states of a sequence that begins."""

    def shape_key(self, sequence: Sequence, pending: Pending) -> object:
        """What the requests of a batch must have in common: the shapes of their inputs, and of their states."""
        if not self._variable_states:
            return pending.shape_key
        states = self.initial if pending.sequence_start else sequence.states
        return pending.shape_key, tuple([state.shape for state in states])

    def make(self, slot: Slot, now_ns: int) -> Step:
        """The next request of the slot's sequence, taken from its queue."""
        sequence = slot.sequence
        assert sequence is not None
        pending = sequence.queue.popleft()
        shape_key = self.shape_key(sequence, pending)
        inputs = {**pending.inputs, **self._controls.of(pending)}
        if self._state_inputs:
            if pending.sequence_start:
                sequence.states = self.initial
            inputs.update(zip(self._state_inputs, sequence.states, strict=True))
        return Step(pending, sequence, slot, inputs, shape_key, now_ns)

    def gather(self, rows: Rows[Step | None]) -> Batch:
        """The execution of `rows`; None is a row without a request, filled with zeros in the shapes of the others."""
        steps = [step for step in rows if step is not None]
        parts = [step.inputs for step in steps]
        if len(steps) < len(rows):
            nothing = {
                name: zeros(array.shape, array.dtype) for name, array in parts[0].items()
            } | self._controls.absent
            parts = [nothing if step is None else step.inputs for step in rows]
        inputs = {name: [part[name] for part in parts] for name in parts[0]}
        return Batch(inputs, len(rows) if self._batches_rows else 0, self._wanted(steps))

    def _wanted(self, steps: list[Step]) -> tuple[str, ...] | None:
        """The outputs that at least one of the requests wants, and the states; None for all."""
        first = steps[0].pending.outputs
        alike = [step.pending.outputs for step in steps].count(first) == len(steps)
        names = first if alike else wanted_outputs([step.pending for step in steps])
        return None if names is None else tuple(dict.fromkeys((*names, *self._state_outputs)))
