"""The control tensors of a request: START, END, READY and the correlation id (config §6.1)."""

from collections.abc import Mapping

import numpy as np

from despina.errors import InvalidArgument
from despina.scheduling.pending import Pending
from despina.scheduling.sequence_plan import CorrelationControl, FlagControl, SequencePlan
from despina_backends.base import Array

_BITS = {"UINT64": ("<u8", "<u8"), "INT64": ("<u8", "<i8"), "UINT32": ("<u4", "<u4"), "INT32": ("<u4", "<i4")}
"""What the bits of an id are cut to, and what they are then called."""


class Controls:
    """Makes control tensors of one row. Those that carry flags are made once and shared by all requests."""

    def __init__(self, plan: SequencePlan) -> None:
        self._correlation = plan.correlation
        self._shape = (1, 1) if plan.max_batch_size else (1,)
        self._flags = {
            (start, end): _flag_tensors(plan.flags, {"START": start, "END": end, "READY": True})
            for start in (False, True)
            for end in (False, True)
        }
        self.absent = _flag_tensors(plan.flags, {"START": False, "END": False, "READY": False})
        """The controls of a row without a request. Nothing else in such a row means anything."""
        if plan.correlation is not None:
            nobody = "" if plan.correlation.datatype == "BYTES" else 0
            self.absent[plan.correlation.name] = self._correlation_tensor(plan.correlation, nobody)

    def of(self, pending: Pending) -> Mapping[str, Array]:
        """The controls of a request."""
        flags = self._flags[pending.sequence_start, pending.sequence_end]
        control = self._correlation
        if control is None:
            return flags
        return {**flags, control.name: self._correlation_tensor(control, pending.correlation_id)}

    def _correlation_tensor(self, control: CorrelationControl, correlation_id: int | str) -> Array:
        if isinstance(correlation_id, str):
            return np.full(self._shape, correlation_id.encode("utf-8", "surrogateescape"), object)
        bits, dtype = _BITS[control.datatype]
        cut = correlation_id & int(np.iinfo(bits).max)
        return np.full(self._shape, cut, bits).view(dtype)


def _flag_tensors(flags: tuple[FlagControl, ...], values: Mapping[str, bool]) -> dict[str, Array]:
    return {flag.name: flag.when_true if values[flag.kind] else flag.when_false for flag in flags}


def check_sequence_request(plan: SequencePlan, pending: Pending) -> None:
    """Whether a request can belong to a sequence of the model at all. Raises InvalidArgument (protocol §2.7)."""
    control = plan.correlation
    # Who gives no id at all has given none of the wrong type.
    if control is not None and pending.correlation_id:
        got = "BYTES" if isinstance(pending.correlation_id, str) else "UINT64"
        if (got == "BYTES") != (control.datatype == "BYTES"):
            raise InvalidArgument(
                f"{pending.label}sequence batching control '{control.name}' data-type is '{got}', but model "
                f"'{plan.model}' expects '{control.datatype}'"
            )
    if pending.rows > 1:
        raise InvalidArgument(
            f"inference request to model '{plan.model}' must specify batch-size 1 due to requirements of sequence "
            "batcher"
        )
    if not pending.correlation_id:
        raise InvalidArgument(
            f"inference request to model '{plan.model}' must specify a non-zero or non-empty correlation ID"
        )
