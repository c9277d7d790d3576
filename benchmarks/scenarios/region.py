"""The shared memory that every server knows as REGION."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.requests import raw_tensor
from benchmarks.scenarios.scenario import REGION, Exchange
from benchmarks.shared_memory import register_segment, segment

SIZE = 1 << 27
"""Bytes: what the largest scenario needs."""
BLANK = b"\xff"
"""What places of outputs are filled with: no tensor that is sent looks so."""


@dataclass(frozen=True, slots=True)
class Region:
    """Each scenario has all of it while it is measured."""

    path: Path

    def register(self, port: int) -> None:
        """With the server on `port`. Raises OSError where it refuses."""
        register_segment(port, REGION, self.path)

    def fill(self, exchanges: Sequence[Exchange]) -> None:
        """Write the inputs, and BLANK where the outputs are to be. Raises OSError where there is no memory left."""
        with self.path.open("r+b") as file:
            for exchange in exchanges:
                for name, offset in exchange.shared.items():
                    tensor = exchange.inputs.get(name)
                    file.seek(offset)
                    file.write(BLANK * exchange.outputs[name].nbytes if tensor is None else raw_tensor(tensor))

    def outputs(self, exchange: Exchange) -> dict[str, bytes]:
        """What lies in the places of outputs, by their names."""
        found: dict[str, bytes] = {}
        with self.path.open("rb") as file:
            for name, tensor in exchange.outputs.items():
                if name in exchange.shared:
                    file.seek(exchange.shared[name])
                    found[name] = file.read(tensor.nbytes)
        return found


@contextmanager
def region() -> Iterator[Region]:
    """Its memory is gone afterwards."""
    with segment("scenarios", SIZE) as path:
        yield Region(path)
