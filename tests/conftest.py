"""Expectations are those of a machine without a GPU; only tests/gpu sees those that are there."""

from collections.abc import Iterator

import pytest

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture(scope="session", autouse=True)
def _gpus_are_hidden() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VISIBLE, "")
        # CUDA reads the variable once per process, and tests/gpu may be run in this one.
        patch.setattr("despina_backends.onnxruntime.compute_capabilities", lambda: ())
        patch.setattr("despina_backends.onnxruntime.why_no_gpu", lambda: None)
        yield
