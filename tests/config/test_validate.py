import pytest

from despina.config.normalize import normalize
from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.validate import validate, validate_metric_tags
from despina.errors import InvalidArgument

PLAIN = 'name: "m" backend: "onnxruntime" '


def config(text: str) -> ModelConfig:
    return parse_text(text)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN + 'platform: "onnxruntime_onnx" max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 2, 4 ] }',
        'name: "m" backend: "my.package:Backend" platform: "anything"',
        'name: "m" backend: "python" platform: "onnxruntime_onnx"',
        PLAIN + "version_policy { }",
        PLAIN + "response_cache { enable: true } dynamic_batching { }",
        PLAIN + "sequence_batching { direct { } }",
        PLAIN + 'model_metrics { metric_control { metric_identifier { family: "f" } '
        "histogram_options { buckets: [ 1, 2 ] } } }",
    ],
)
def test_sensible_configurations_pass(text: str) -> None:
    validate(normalize(config(text)))


CACHE = "Response Cache does not currently support model m with {}. Please disable the response cache."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('backend: "onnxruntime"', "model configuration must specify 'name'"),
        ('name: "e" platform: "ensemble" ensemble_scheduling { }', "must specify 'step' for ensemble 'e'"),
        ('name: "m"', "unexpected platform type '' for m"),
        ('name: "m" platform: "caffe2"', "unexpected platform type 'caffe2' for m"),
        (
            'name: "m" platform: "ensemble" backend: "onnxruntime"',
            "Ensemble model 'm' must have platform type 'ensemble' and empty backend type",
        ),
        (
            PLAIN + 'platform: "onnxruntim"',
            "unexpected 'platform' and 'backend' pair, got:onnxruntim, onnxruntime",
        ),
        (PLAIN + "max_batch_size: -1", "'max_batch_size' must be non-negative value for m"),
        (
            PLAIN + "response_cache { enable: true } sequence_batching { direct { } }",
            CACHE.format("sequence batching scheduler"),
        ),
        (
            PLAIN + "response_cache { enable: true } model_transaction_policy { decoupled: true }",
            CACHE.format("'decoupled' transaction policy"),
        ),
        (PLAIN + "model_metrics { metric_control { } }", "metric control must specify 'metric_identifier'"),
        (
            PLAIN + "model_metrics { metric_control { metric_identifier { } } }",
            "metric identifier must specify non-empty 'family'",
        ),
        (
            PLAIN + 'model_metrics { metric_control { metric_identifier { family: "f" } } }',
            "metric control must specify 'histogram_options'",
        ),
        (
            PLAIN + 'model_metrics { metric_control { metric_identifier { family: "f" } histogram_options { } } }',
            "histogram options must specify non-empty 'buckets'",
        ),
    ],
)
def test_contradictions_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        validate(normalize(config(text)))
    assert caught.value.message == message


def test_first_fault_in_order_is_reported() -> None:
    with pytest.raises(InvalidArgument, match="'max_batch_size' must be non-negative"):
        validate(config(PLAIN + "max_batch_size: -1 dynamic_batching { preferred_batch_size: 0 }"))


@pytest.mark.parametrize("tag", ["a-b", "_x", "", "x y", "\u00fc"])
def test_a_metric_tag_has_to_be_part_of_a_labels_name(tag: str) -> None:
    with pytest.raises(InvalidArgument, match="metric_tags of model 'm'"):
        validate_metric_tags(config(f'{PLAIN} metric_tags {{ key: "{tag}" value: "v" }}'))


def test_a_metric_tag_may_have_any_value() -> None:
    validate_metric_tags(config(f'{PLAIN} metric_tags {{ key: "Team_1" value: "a-b" }}'))
