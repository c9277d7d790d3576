"""What crosses the pipes between a server and the process of an instance: structs of fixed size, native order."""

from struct import Struct
from typing import Final

RUN: Final = Struct("IIQ")
"""Number of the place, rows, and the outputs that are wanted, one bit each in the order of the configuration."""

RAN: Final = Struct("Qqqq")
"""Whether it succeeded, then `time.monotonic_ns()` at the start, when the inputs were in place, and at the end. The
clock is the system's, so both sides may compare. The first one says no more than that the instance is there."""
