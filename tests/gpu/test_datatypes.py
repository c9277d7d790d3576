"""Half precision on the GPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from despina.models.loader import load_version
from despina.models.source import Source
from despina.settings import Settings
from despina_backends.base import Array, Batch

pytestmark = pytest.mark.gpu

CONFIG = "max_batch_size: 4 instance_group { kind: KIND_GPU gpus: 0 }"


def double(root: Path, parts: list[Array]) -> Array:
    settings = Settings(model_repository=(root,))
    loaded = load_version(Source(settings).candidate("m"), 1, settings)
    try:
        return loaded.instances[0].instance.execute(Batch({"x": parts}, len(parts))).outputs["y"]
    finally:
        loaded.close()


def test_fp16(repository: Callable[..., Path]) -> None:
    root = repository("g (float16[N,2] x) => (float16[N,2] y) { y = Add(x, x) }", CONFIG)
    got = double(root, [np.array([[1, 2]], np.float16), np.array([[0.5, -4]], np.float16)])
    assert got.dtype == np.float16
    assert got.tolist() == [[2, 4], [1, -8]]


def test_bf16_travels_as_its_bits(repository: Callable[..., Path]) -> None:
    root = repository("g (bfloat16[N,2] x) => (bfloat16[N,2] y) { y = Add(x, x) }", CONFIG)
    one, two, four = 0x3F80, 0x4000, 0x4080
    got = double(root, [np.array([[one, two]], np.uint16)])
    assert got.dtype == np.uint16
    assert got.tolist() == [[two, four]]
