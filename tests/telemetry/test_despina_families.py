from despina.telemetry.despina_families import despina_families
from despina.telemetry.exposition import generate
from despina.telemetry.measured_model import MeasuredModel
from despina.telemetry.statistics import ModelStatistics


def lines(statistics: ModelStatistics) -> list[str]:
    model = MeasuredModel("m", 1, statistics)
    return generate(despina_families([(model.labels({}), model)])).splitlines()


def test_the_padding_of_shape_buckets_is_shown() -> None:
    shown = lines(ModelStatistics(bucket_elements=30, padding_elements=12))
    assert [line for line in shown if line.startswith("despina_shape_bucket_elements")] == [
        'despina_shape_bucket_elements{kind="data",model="m",version="1"} 30',
        'despina_shape_bucket_elements{kind="padding",model="m",version="1"} 12',
    ]


def test_models_without_buckets_have_no_such_series() -> None:
    assert not any(line.startswith("despina_shape_bucket_elements{") for line in lines(ModelStatistics()))
