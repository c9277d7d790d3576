"""The tables a server prints when it starts, as plain text with tritonserver's frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One version of one model. `reason` is why it is not READY; it goes on the lines below the row."""

    model: str
    version: str
    state: str
    device: str = ""
    max_batch: str = ""
    batching: str = ""
    instances: str = ""
    load_seconds: float | None = None
    reason: str = ""

    def cells(self) -> tuple[str, ...]:
        load = "" if self.load_seconds is None else f"{self.load_seconds:.2f}"
        return (
            *(self.model, self.version, self.state, self.device),
            *(self.max_batch, self.batching, self.instances, load),
        )


MODEL_COLUMNS = ("Model", "Version", "State", "Device", "Max batch", "Batching", "Instances", "Load s")


def models_table(rows: Iterable[ModelRow]) -> str:
    """All models by name and version; versions that are numbers in the order of numbers."""
    ordered = sorted(rows, key=lambda row: (row.model, len(row.version), row.version))
    return table(MODEL_COLUMNS, [row.cells() for row in ordered], [row.reason for row in ordered])


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """Framed rows under their column heads; the note of a row, if any, as lines of their own below it."""
    widths = [max(len(cells[column]) for cells in (columns, *rows)) for column in range(len(columns))]
    frame = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [frame, _line(columns, widths), frame]
    for position, row in enumerate(rows):
        lines.append(_line(row, widths))
        if position < len(notes):
            lines += [f"|   {line}" for line in notes[position].splitlines()]
    return "\n".join([*lines, frame])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
