"""The table of models a server logs when it starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from despina.models.report import StartRow
from despina.telemetry.tables import ModelRow, models_table

if TYPE_CHECKING:
    from despina.models.model import Model


def startup_table(rows: Iterable[StartRow[Model]]) -> str:
    """One row per model version, ready or not."""
    return models_table(_row(row) for row in rows)


def _row(row: StartRow[Model]) -> ModelRow:
    version = "" if row.version is None else str(row.version)
    if row.model is None:
        return ModelRow(row.name, version, row.state, reason=row.reason)
    model = row.model
    return ModelRow(
        row.name,
        version,
        row.state,
        ", ".join(model.devices),
        str(model.signature.max_batch_size),
        _batching(model),
        str(model.instance_count) if model.instance_count else "",
        model.load_seconds,
    )


def _batching(model: Model) -> str:
    config = model.config
    if config.HasField("sequence_batching"):
        return "sequence"
    if config.HasField("ensemble_scheduling"):
        return "ensemble"
    if not config.HasField("dynamic_batching"):
        return "off"
    batching = config.dynamic_batching
    preferred = ",".join(map(str, batching.preferred_batch_size))
    delay = f", delay {batching.max_queue_delay_microseconds} us" if batching.max_queue_delay_microseconds else ""
    return f"dynamic [{preferred}]{delay}" if preferred else f"dynamic{delay}"
