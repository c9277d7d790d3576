"""The models that are measured, built with onnx from seeds: structure and cost are real, what they compute is not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.models import encoder, images, mlp, passing
from benchmarks.places import BUILT

PAYLOADS = (1024, 16 * 1024, 64 * 1024, 602_112, 4 * 1024 * 1024)
"""Bytes per row of the models named `head_<bytes>`."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model and rows for it are made, and how far from the expected an answer may be, absolutely: enough
    for TF32 and for sums in another order, far less than lies between the answers of two rows. `rows` is the number of
    different rows sent: large ones are few."""

    make: Callable[[], onnx.ModelProto]
    make_rows: Callable[[int], dict[str, npt.NDArray[np.generic]]]
    tolerance: float
    rows: int = 64


MODELS: Mapping[str, Recipe] = {
    "mlp": Recipe(mlp.make, partial(passing.rows, width=256), 5e-3),
    "mlp_wide": Recipe(partial(mlp.make, mlp.WIDE), partial(passing.rows, width=256), 5e-3),
    "identity": Recipe(partial(passing.make_identity, 256), partial(passing.rows, width=256), 0.0),
    "resnet50": Recipe(images.make_resnet50, images.rows, 2e-2, 16),
    "densenet121": Recipe(images.make_densenet121, images.rows, 2e-3, 16),
    "bert": Recipe(encoder.make, encoder.rows, 2e-2, 16),
    "resnet50_fp16": Recipe(partial(images.make_resnet50, "float16"), partial(images.rows, dtype="float16"), 5e-2, 16),
    "densenet121_fp16": Recipe(
        partial(images.make_densenet121, "float16"), partial(images.rows, dtype="float16"), 5e-3, 16
    ),
    "bert_fp16": Recipe(partial(encoder.make, "float16"), encoder.rows, 1e-1, 16),
    **{
        f"head_{size}": Recipe(partial(passing.make_head, size // 4), partial(passing.rows, width=size // 4), 0.0, 16)
        for size in PAYLOADS
    },
}


def model_file(name: str) -> Path:
    """The model's .onnx file, made when it is first needed."""
    path = BUILT / f"{name}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = MODELS[name].make()
        onnx.checker.check_model(model)
        partial = path.with_suffix(".new")
        onnx.save(model, partial)
        partial.replace(path)
    return path
