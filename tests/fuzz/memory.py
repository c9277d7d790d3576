"""Does a process grow while it is fuzzed?"""

from pathlib import Path

from tests.fuzz.findings import Findings

WARM_UP = 0.25
"""The part of the inputs after which caches are full and allocators have what they need."""

BOUND_MIB = 64


class Memory:
    """The resident memory of a process (None: of this one) over a run."""

    def __init__(self, pid: int | None) -> None:
        self._status = Path("/proc", "self" if pid is None else str(pid), "status")
        self._warm = 0.0

    def step(self, number: int, count: int) -> None:
        """Input `number` of `count` is done."""
        if number == int(count * WARM_UP):
            self._warm = self._resident_mib()

    def check(self, name: str, findings: Findings) -> None:
        """The growth since the warm-up is a finding beyond the bound."""
        now = self._resident_mib()
        findings.measures[f"memory {name}"] = f"{self._warm:.0f} MiB warm, {now:.0f} MiB at the end"
        if now - self._warm > BOUND_MIB:
            findings.add(f"memory {name} grew by {now - self._warm:.0f} MiB")

    def _resident_mib(self) -> float:
        fields = dict(line.split(":", 1) for line in self._status.read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) / 1024
