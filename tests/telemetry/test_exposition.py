import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from despina.telemetry.exposition import format_value, generate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (1.0, "1"),
        (0.25, "0.25"),
        (0.1, "0.1"),
        (25276514304, "25276514304"),
        (1512215, "1512215"),
        (1e17, "1e+17"),
        (0.00048828125, "0.00048828125"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
def test_values_are_printed_without_needless_digits(value: float, text: str) -> None:
    assert format_value(value) == text


def test_counters_keep_their_names_and_integers_stay_integers() -> None:
    family = Metric("nv_inference_count", "Inferences", "counter")
    family.add_sample("nv_inference_count", {"model": "m", "version": "1"}, 3)
    assert generate([family]) == (
        "# HELP nv_inference_count Inferences\n"
        "# TYPE nv_inference_count counter\n"
        'nv_inference_count{model="m",version="1"} 3\n'
    )


def test_families_without_samples_are_not_printed() -> None:
    assert generate([Metric("nv_inference_count", "Inferences", "counter")]) == ""


def test_label_values_survive_a_parser() -> None:
    value = 'back\\slash "quote"\nline'
    family = Metric("despina_x", "x", "gauge")
    family.add_sample("despina_x", {"model": value}, 1)
    (parsed,) = text_string_to_metric_families(generate([family]))
    assert parsed.samples[0].labels == {"model": value}
