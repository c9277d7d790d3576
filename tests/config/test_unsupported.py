import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.unsupported import reject_unsupported
from despina.errors import Unsupported


def config(text: str) -> ModelConfig:
    return parse_text(f'name: "m" {text}')


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('runtime: "libmine.so"', "runtime 'libmine.so'"),
        ("model_transaction_policy { decoupled: true }", "decoupled"),
        ('model_repository_agents { agents { name: "a" } }', "model_repository_agents"),
        ("instance_group { secondary_devices { } }", "secondary_devices"),
        ("sequence_batching { iterative_sequence: true }", "iterative_sequence"),
        ("instance_group [ { passive: true }, { passive: true } ]", "nothing but passive instances"),
        ('parameters { key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "/x.so" } }', "a batching library"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(text: str, what: str) -> None:
    with pytest.raises(Unsupported, match=rf"model 'm' asks for .*{what}"):
        reject_unsupported(config(text))


def test_what_the_server_supports_passes() -> None:
    reject_unsupported(config('runtime: "libtriton_onnxruntime.so" model_transaction_policy { decoupled: false }'))
    reject_unsupported(config("sequence_batching { }"))
    reject_unsupported(config("instance_group [ { passive: true }, { } ]"))
    reject_unsupported(config("input { allow_ragged_batch: true } batch_input { } batch_output { }"))
