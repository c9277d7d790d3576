"""Why a request ran when and with whom it ran, told to those who ask."""

from despina.scheduling.batch_policy import Reason
from despina.scheduling.pending import Pending
from despina_backends.base import Execution

EXPLAIN = "despina_explain"
"""Request parameter that asks for the explanation when it is `true`. Triton reserves names that begin with `triton_`;
ours begin with `despina_`, so that no client's own parameter means something by accident."""


def explain(pending: Pending, rows: int, reason: Reason, execution: Execution) -> None:
    """Add the explanation to the parameters of the response: rows of the executed batch, microseconds spent queued and
    computing, and what closed the batch."""
    pending.response_parameters = {
        **(pending.response_parameters or {}),
        "batch_rows": rows,
        "queue_us": (pending.started_ns - pending.queued_ns) // 1000,
        "compute_us": (execution.infer_end_ns - pending.started_ns) // 1000,
        "batch_closed_by": reason,
    }
