"""What holds for all tests: GPUs are hidden, ONNX Runtime reports to nobody, coroutines run on asyncio's event loop."""

import os
from collections.abc import Iterator

import pytest

VISIBLE = "CUDA_VISIBLE_DEVICES"

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime is told before it is imported, here or in a new process


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of tests that are coroutines; `tests.support.loops` has others."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _gpus_are_hidden() -> Iterator[None]:
    """Expectations are those of a machine without one; only tests/gpu sees those that are there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VISIBLE, "")
        # CUDA reads the variable once per process, and tests/gpu may be run in this one.
        patch.setattr("despina_backends.onnxruntime.compute_capabilities", lambda: ())
        patch.setattr("despina_backends.onnxruntime.why_no_gpu", lambda: None)
        yield
