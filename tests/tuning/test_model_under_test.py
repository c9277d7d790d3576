from pathlib import Path

import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.errors import InvalidArgument
from despina.models.source import Source
from despina.settings import Settings
from despina.tuning.measure import Arrangement, Point
from despina.tuning.model_under_test import ModelUnderTest, check_tunable

DIGITS = Path(__file__).parents[2] / "model_repository"


def test_a_model_is_looked_at_and_run() -> None:
    settings = Settings(model_repository=(DIGITS,))
    model = ModelUnderTest(Source(settings).candidate("digits"), 1, settings, {}, lambda _: ())
    traits = model.inspect()
    assert (traits.batches, traits.threads, traits.on_gpu) == (True, 0, False)
    assert traits.load_s > 0
    model.plan_instances([Arrangement(1, 2)])
    assert model.loading(Arrangement(1, 1)) == 2 * traits.load_s
    try:
        assert len(model.run(Point(Arrangement(1, 2), 16), 0.0)) >= 6
        assert model.loading(Arrangement(1, 1)) == 0
    finally:
        model.close()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ('platform: "ensemble" ensemble_scheduling { step { model_name: "a" } step { model_name: "b" } }', "(a, b)"),
        ("sequence_batching {}", "sequences"),
        ("instance_group { count: 1 } instance_group { count: 2 }", "has 2 instance groups"),
    ],
)
def test_what_cannot_be_tuned(config: str, text: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        check_tunable(text_format.Parse(f'name: "m" {config}', ModelConfig()))
    assert text in error.value.message
