"""The ONNX Runtime of this environment, which both sides run, and the backend that was compiled for it."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.peers.triton_onnxruntime.sources import BRANCH, NotBuilt
from benchmarks.places import PEERS

ROOT = PEERS / "triton-onnxruntime"


@dataclass(frozen=True, slots=True)
class Runtime:
    """The C library in the wheel; its version, as in `1.32.0`."""

    library: Path
    version: str

    @classmethod
    def installed(cls) -> Self:
        """Raises NotBuilt when there is none, or not as a library that a backend can be linked with."""
        spec = importlib.util.find_spec("onnxruntime")
        if spec is None or spec.origin is None:
            raise NotBuilt("onnxruntime is not installed in this environment")
        prefix = "libonnxruntime.so."
        found = sorted((Path(spec.origin).parent / "capi").glob(f"{prefix}*.*.*"))
        if not found:
            raise NotBuilt(f"the onnxruntime of this environment has no capi/{prefix}*")
        return cls(found[-1], found[-1].name.removeprefix(prefix))

    @property
    def backends(self) -> Path:
        """Where the backend for this very version belongs; what tritonserver gets as --backend-directory."""
        return ROOT / f"{BRANCH}-onnxruntime-{self.version}"

    @property
    def is_built(self) -> bool:
        return self.backends.exists()
