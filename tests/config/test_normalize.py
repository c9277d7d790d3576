from despina.config.normalize import normalize
from despina.config.proto import ModelConfig
from despina.config.read import parse_text


def config(text: str) -> ModelConfig:
    return parse_text(text)


def test_defaults_of_a_plain_model() -> None:
    assert normalize(config("")) == config(
        "version_policy { latest { num_versions: 1 } }"
        "optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }"
    )


def test_what_is_written_stays() -> None:
    written = config(
        "version_policy { all { } } max_batch_size: 8 dynamic_batching { preferred_batch_size: 2 }"
        "optimization { input_pinned_memory { enable: false } output_pinned_memory { } }"
    )
    assert normalize(written) == written


def test_latest_without_a_number_stays_zero() -> None:
    assert normalize(config("version_policy { latest { } }")).version_policy.latest.num_versions == 0


def test_preferred_batch_size_is_the_largest_one() -> None:
    normal = normalize(config("max_batch_size: 8 dynamic_batching { }"))
    assert list(normal.dynamic_batching.preferred_batch_size) == [8]
    assert list(normalize(config("dynamic_batching { }")).dynamic_batching.preferred_batch_size) == []
    assert not normalize(config("max_batch_size: 8")).HasField("dynamic_batching")


def test_sequences_get_an_idle_time_and_a_preferred_batch_size() -> None:
    sequences = normalize(config("max_batch_size: 8 sequence_batching { oldest { } }")).sequence_batching
    assert sequences.max_sequence_idle_microseconds == 1_000_000
    assert list(sequences.oldest.preferred_batch_size) == [8]
    assert not normalize(config("sequence_batching { direct { } }")).sequence_batching.HasField("oldest")


def test_ensembles_have_no_memory_to_pin() -> None:
    assert not normalize(config('platform: "ensemble"')).HasField("optimization")


def test_ensembles_say_that_they_are_not_decoupled() -> None:
    assert normalize(config('platform: "ensemble"')).HasField("model_transaction_policy")
    assert not normalize(config('backend: "onnxruntime"')).HasField("model_transaction_policy")


def test_normalizing_twice_changes_nothing_more() -> None:
    once = normalize(config("max_batch_size: 4 dynamic_batching { }"))
    assert normalize(once) == once
