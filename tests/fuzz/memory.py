"""Does a process grow while it is fuzzed?"""

from benchmarks.processes import resident_mib
from tests.fuzz.findings import Findings

WARM_UP = 0.25
"""The part of the inputs after which caches are full and allocators have what they need."""

BOUND_MIB = 64


class Memory:
    """The resident memory of a process over a run."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._warm = 0.0

    def step(self, number: int, count: int) -> None:
        """Input `number` of `count` is done."""
        if number == int(count * WARM_UP):
            self._warm = resident_mib(self._pid)

    def check(self, name: str, findings: Findings) -> None:
        """The growth since the warm-up is a finding beyond the bound."""
        now = resident_mib(self._pid)
        findings.measures[f"memory {name}"] = f"{self._warm:.0f} MiB warm, {now:.0f} MiB at the end"
        if now - self._warm > BOUND_MIB:
            findings.add(f"memory {name} grew by {now - self._warm:.0f} MiB")
