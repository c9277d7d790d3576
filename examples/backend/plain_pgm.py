"""A backend of one's own: images as text (the plain PGM format) in, the rows of numbers that `digits` wants out."""

import time

import numpy as np

from despina_backends.base import Array, BackendError, Batch, Device, Execution, LoadOptions, TensorMetadata


class PlainPgm:
    """Backend and instance in one: it keeps nothing between executions, so all instances may be the same object."""

    steady = False  # How long it takes depends on what is in the files.

    def __init__(self, options: LoadOptions) -> None:
        self.inputs = {"file": TensorMetadata("file", "BYTES", (-1, 1))}
        self.outputs = {"image": TensorMetadata("image", "FP32", (-1, 64))}
        self._white = float(options.parameters.get("white", "1"))

    def instance(self, device: Device) -> "PlainPgm":
        return self

    def execute(self, batch: Batch) -> Execution:
        files = np.concatenate(batch.inputs["file"])
        start_ns = time.monotonic_ns()
        images = np.array([self._read(file) for (file,) in files]).reshape(-1, 64)
        return Execution({"image": images}, start_ns, time.monotonic_ns())

    def _read(self, file: bytes) -> Array:
        kind, numbers = file.split()[:3], file.split()[3:]
        if kind != [b"P2", b"8", b"8"] or len(numbers) != 1 + 64 or not all(map(bytes.isdigit, numbers)):
            raise BackendError("input 'file': expected a plain PGM file of 8 by 8 pixels", "INVALID_ARG")
        white, *pixels = map(int, numbers)
        return np.array(pixels, np.float32) * (self._white / max(white, 1))

    def close(self) -> None:
        """There is nothing to free."""
