"""The models that are measured, built with onnx from seeds: structure and cost are real, what they compute is not."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.models import identity, mlp
from benchmarks.places import BUILT

Inputs = dict[str, npt.NDArray[np.generic]]
Make = Callable[[], onnx.ModelProto]
Rows = Callable[[int], Inputs]

MODELS: Mapping[str, tuple[Make, Rows, float]] = {
    "mlp": (mlp.make, mlp.rows, 1e-4),
    "identity": (identity.make, identity.rows, 0.0),
}
"""Name to how the model is made, how its rows are made, and the absolute tolerance of its answers."""


def model_file(name: str) -> Path:
    """The model's .onnx file, made when it is first needed."""
    path = BUILT / f"{name}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = MODELS[name][0]()
        onnx.checker.check_model(model)
        onnx.save(model, path)
    return path
