from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf import text_format

from despina.config.proto import ModelConfig
from despina.models.batch_layout import BatchLayout
from despina.models.text_inputs import takes_text
from despina.scheduling.ragged import RaggedLayout


def takes(text: str = "", backend: object = None, **fields: Any) -> bool:
    config = text_format.Parse(f'name: "m" max_batch_size: 8 {text}', ModelConfig())
    backend = backend or SimpleNamespace(takes_text=True)
    loaded: Any = SimpleNamespace(
        **{"config": config, "backend": backend, "layout": BatchLayout(), "sequences": None, **fields}
    )
    return takes_text(loaded)


def test_texts_go_to_a_backend_that_takes_them() -> None:
    assert takes()
    assert takes("dynamic_batching { preserve_ordering: true }")
    assert not takes(backend=SimpleNamespace())


@pytest.mark.parametrize(
    "text",
    [
        "response_cache { enable: true }",
        'parameters { key: "allow_oversize_requests" value { string_value: "true" } }',
    ],
)
def test_what_is_stored_or_put_together_are_bytes(text: str) -> None:
    assert not takes(text)


def test_what_is_laid_out_or_remembered_for_a_sequence_are_bytes() -> None:
    assert not takes(layout=BatchLayout(RaggedLayout(frozenset({"X"}), (), {})))
    assert not takes(sequences=object())
