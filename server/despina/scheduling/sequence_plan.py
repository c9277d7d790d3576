"""How the sequences of a model are scheduled, and what its instances are fed beside the clients' tensors (config §6.1).
Pure data; made once from the configuration, when the model is loaded."""

from dataclasses import dataclass

from despina.scheduling.batch_policy import BatchPolicy
from despina_backends.base import Array


@dataclass(frozen=True, slots=True)
class FlagControl:
    """An input that tells START, END or READY. `when_false` and `when_true` are the tensors of one row: shape [1], or
    [1,1] for a model that batches."""

    kind: str
    name: str
    when_false: Array
    when_true: Array


@dataclass(frozen=True, slots=True)
class CorrelationControl:
    """The input that gets the correlation id; `datatype` is UINT64, INT64, UINT32, INT32 or BYTES."""

    name: str
    datatype: str


@dataclass(frozen=True, slots=True)
class StateTensor:
    """Implicit state: what the model puts out as `output_name` is its `input_name` in the next request of the sequence.

    `initial` is the state of one row before the first request. `visible`: clients may fetch the output. `variable`: its
    shape may change, so sequences may differ in it.
    """

    input_name: str
    output_name: str
    initial: Array
    visible: bool = False
    variable: bool = False


@dataclass(frozen=True, slots=True)
class DirectStrategy:
    """Every sequence has a row of its own in the batch. With both values set, a batch waits for its oldest request to
    be `max_queue_delay_ns` old or for the share `minimum_slot_utilization` of the rows to be filled."""

    max_queue_delay_ns: int = 0
    minimum_slot_utilization: float = 0.0


@dataclass(frozen=True, slots=True)
class OldestStrategy:
    """Up to `max_candidate_sequences` of an instance give one request each to its dynamic batcher."""

    max_candidate_sequences: int
    policy: BatchPolicy


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """Everything there is to know. `max_batch_size` 0: the tensors of the model have no batch dimension. `idle_ns` is
    how long a sequence may have nothing to do before it is forgotten."""

    model: str
    max_batch_size: int
    idle_ns: int
    strategy: DirectStrategy | OldestStrategy = DirectStrategy()
    flags: tuple[FlagControl, ...] = ()
    correlation: CorrelationControl | None = None
    states: tuple[StateTensor, ...] = ()

    @property
    def slots(self) -> int:
        """How many sequences an instance can have at a time."""
        if isinstance(self.strategy, OldestStrategy):
            return self.strategy.max_candidate_sequences
        return max(1, self.max_batch_size)
