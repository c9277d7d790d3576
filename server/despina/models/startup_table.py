"""The table of models a server logs when it starts: plain text with tritonserver's frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from despina.models.report import StartRow

if TYPE_CHECKING:
    from despina.models.model import Model

COLUMNS = ("Model", "Version", "State", "Device", "Max batch", "Batching", "Instances", "Load s")


def startup_table(rows: Sequence[StartRow[Model]]) -> str:
    """One row per model version, ready or not; why it is not stands on lines of its own below it."""
    table = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *table, strict=True)]
    frame = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [frame, _line(COLUMNS, widths), frame]
    for row, cells in zip(rows, table, strict=True):
        lines.append(_line(cells, widths))
        lines += [f"|   {line}" for line in row.reason.splitlines()]
    return "\n".join([*lines, frame])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _cells(row: StartRow[Model]) -> tuple[str, ...]:
    version = "" if row.version is None else str(row.version)
    model = row.model
    if model is None:
        return row.name, version, row.state, "", "", "", "", ""
    return (
        row.name,
        version,
        row.state,
        ", ".join(model.devices),
        str(model.signature.max_batch_size),
        _batching(model),
        str(model.instance_count or ""),
        f"{model.load_seconds:.2f}",
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
