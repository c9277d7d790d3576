"""Requests of an ensemble that came in the same moment and go through its steps as one.

They are all alike but for the values of their tensors, and those lie side by side: what a step costs, it costs once for
all of them, and nothing is cut apart between steps. Statistics count each request. Whoever looks at requests one by
one, in a step or with a trace, a timeout or parameters, keeps them from going together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from despina.errors import Unsupported
from despina.scheduling.formed_batch import split_group
from despina.scheduling.pending import Pending
from despina_backends.base import Array

MAX_JOINED_BYTES = 1 << 20
"""To put so much side by side takes the event loop a tenth of a millisecond, in new memory up to a whole one. Larger
requests gain little by going together."""


def kind_of(pending: Pending) -> object:
    """Equal for requests that may go together; None when there is something about a request that only concerns
    itself."""
    alone = (
        pending.id
        or pending.parameters
        or pending.trace is not None
        or pending.priority
        or pending.timeout_us
        or pending.correlation_id
        or pending.sequence_start
        or pending.sequence_end
        or pending.empty
    )
    return None if alone else (pending.rows, pending.shape_key, pending.outputs)


def joined(members: Sequence[Pending]) -> Pending:
    """One request for all of them. Nobody is called back for it."""
    first = members[0]
    inputs = {name: np.concatenate([each.inputs[name] for each in members]) for name in first.inputs}
    count = len(members)
    return Pending(inputs, count * first.rows, _nobody, first.shape_key, first.outputs, count=count)


def _nobody(pending: Pending) -> None:
    """Its members are answered."""


def pieces_of(tensors: Mapping[str, Array], members: Sequence[Pending]) -> Sequence[Mapping[str, Array] | Unsupported]:
    """All `tensors`, whatever they are called, cut apart."""
    return split_group(tensors, [replace(each, outputs=None) for each in members])
