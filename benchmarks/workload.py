"""A model together with the rows that are sent to it and the answers they must get."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Workload:
    """`inputs` maps names to arrays [rows, ...]; `expected` is the output [rows, ...], from a session in this process
    that never met the server. `tolerance` is absolute: a batch of another size sums in another order."""

    name: str
    inputs: Mapping[str, npt.NDArray[np.generic]]
    output: str
    expected: npt.NDArray[np.generic]
    tolerance: float

    @property
    def rows(self) -> int:
        return len(self.expected)

    @property
    def row_bytes(self) -> int:
        """Bytes of all input tensors of one row."""
        return sum(array[:1].nbytes for array in self.inputs.values())

    def is_answer(self, row: int, got: npt.NDArray[np.generic]) -> bool:
        """Whether `got` ([1, ...]) is the answer to this row and to no other one."""
        errors = np.abs(self.expected.astype(np.float64) - got.astype(np.float64))
        per_row = errors.reshape(self.rows, -1).max(axis=1)
        return bool(per_row[row] <= self.tolerance and (per_row <= self.tolerance).sum() == 1)
