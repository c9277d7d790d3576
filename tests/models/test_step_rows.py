"""How many requests of an ensemble may come to a model as one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from despina.errors import InvalidArgument
from despina.models.loader import load_version
from despina.models.model import Model
from despina.models.schedulers import SchedulingOptions
from despina.models.source import Source
from despina.scheduling.clock import LoopClock
from despina.scheduling.ensemble_step import StepRequest
from despina.scheduling.pending import Pending
from despina.settings import Settings
from despina.telemetry.statistics import ModelStatistics
from despina.telemetry.tracing.settings import TraceSettings
from despina_backends.base import Array

CONFIG = """backend: "identity" max_batch_size: 8 dynamic_batching {}
input { name: "IN" data_type: TYPE_FP32 dims: -1 } output { name: "OUT" data_type: TYPE_FP32 dims: -1 }
instance_group { kind: KIND_CPU count: 1 }
"""


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[Model]:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text(CONFIG)
    settings = Settings(model_repository=(tmp_path,))
    loaded = load_version(Source(settings).candidate("m"), 1, settings)
    clock = LoopClock(asyncio.get_running_loop())
    model = Model(loaded, clock, SchedulingOptions(), ModelStatistics(), TraceSettings({}).settings_for("m"))
    yield model
    await model.drain()
    await asyncio.to_thread(model.close)


async def test_shapes_that_may_differ_are_equal_in_an_ensemble(model: Model) -> None:
    assert (model.group_rows, model.step_rows) == (0, 8)


async def test_requests_that_come_as_one_have_the_rows_of_all(model: Model) -> None:
    def submit(array: Array) -> Pending:
        return model.submit_step(StepRequest({"IN": array}, ("OUT",), count=3, rows=3), lambda pending: None)

    assert submit(np.zeros((3, 2), np.float32)).count == 3
    for array in (np.zeros(3, np.float32), np.zeros((6, 2), np.float32)):
        with pytest.raises(InvalidArgument, match="expected 3 rows for model 'm', got"):
            submit(array)
