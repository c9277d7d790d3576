"""A fixed piece of work, timed beside every point: the machine's speed drifts, and this shows by how much."""

import hashlib
import time


def calibration_ms() -> float:
    """CPU milliseconds of the same bytecode and the same hashing, every time."""
    block = bytes(1 << 20)
    start = time.thread_time()
    total = 0
    for number in range(200_000):
        total += number & 7
    hashlib.sha256(block * 4).digest()
    return 1000 * (time.thread_time() - start)
