import pytest

from despina.config.explain import explain
from despina.config.proto import ModelConfig
from despina.config.read import parse_text


def config(text: str) -> ModelConfig:
    return parse_text(text)


FINAL = (
    'backend: "onnxruntime" default_model_filename: "model.onnx" version_policy { latest { num_versions: 1 } } '
    'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] } output { name: "y" data_type: TYPE_INT64 dims: 1 } '
)
LISTED = 'input { name: "x" } output { name: "y" } '


@pytest.mark.parametrize(
    ("written", "final", "sentence"),
    [
        ("", "", "backend onnxruntime, file model.onnx: because of the file found in a version directory"),
        ('backend: "onnxruntime"', "", "backend onnxruntime, file model.onnx: as configured"),
        (
            'platform: "onnxruntime_onnx"',
            "",
            "backend onnxruntime, file model.onnx: because of the configured platform",
        ),
        ("", "", "the latest version: version_policy latest"),
        ("", "version_policy { specific { versions: [ 1, 3 ] } }", "versions 1, 3: version_policy specific"),
        ("", "version_policy { all { } }", "all versions: version_policy all"),
        ("", "version_policy { latest { num_versions: 2 } }", "the latest 2 versions: version_policy latest"),
        (
            "",
            "max_batch_size: 4",
            "max_batch_size 4: every input and output has a variable first dimension; default-max-batch-size",
        ),
        ("max_batch_size: 8", "max_batch_size: 8", "max_batch_size 8: as configured"),
        (
            "",
            "",
            "max_batch_size 0: some input or output has no variable first dimension, so requests cannot be batched",
        ),
        (
            'output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }',
            "",
            "max_batch_size 0: some input or output has no variable first dimension, so requests cannot be batched",
        ),
        (
            LISTED,
            "",
            "max_batch_size 0: none is configured, and none is chosen for a model whose tensors are listed",
        ),
        ("", "", "dynamic batching off: max_batch_size is 0"),
        (
            "",
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: 4 }",
            "dynamic batching on: max_batch_size is above 1; preferred batch sizes 4, without waiting for them",
        ),
        (
            "dynamic_batching { }",
            "dynamic_batching { preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 100 }",
            "dynamic batching on: as configured; preferred batch sizes 2, 4, waiting up to 100 microseconds for them",
        ),
        (
            "max_batch_size: 4 " + LISTED,
            "max_batch_size: 4",
            "dynamic batching off: the configuration lists its tensors and has no dynamic_batching; add "
            "'dynamic_batching { }' to let requests share executions",
        ),
        ("sequence_batching { }", "sequence_batching { }", "sequence_batching: as configured"),
        ("", "", "input x TYPE_FP32 [-1,3]: read from the model"),
        ("", "", "output y TYPE_INT64 [1]: read from the model"),
        (
            "",
            'instance_group { name: "m" kind: KIND_CPU count: 2 }',
            "2 instances on CPU (m): no instance_group is configured and no GPU is usable",
        ),
        (
            "",
            'instance_group { name: "m" kind: KIND_GPU count: 1 gpus: 0 }',
            "1 instance on GPU 0 (m): no instance_group is configured",
        ),
        (
            "instance_group { }",
            'instance_group { name: "m_0" kind: KIND_GPU count: 1 gpus: [ 0, 1 ] }',
            "1 instance on each of GPU 0, 1 (m_0): a GPU is usable; the default count",
        ),
        (
            "instance_group { kind: KIND_CPU count: 3 }",
            'instance_group { name: "m_0" kind: KIND_CPU count: 3 }',
            "3 instances on CPU (m_0): as configured",
        ),
    ],
)
def test_decisions_are_explained(written: str, final: str, sentence: str) -> None:
    served = config(FINAL)
    served.MergeFrom(config(final))
    assert sentence in explain(config(written), served)


def test_ensembles_name_their_steps() -> None:
    ensemble = config(
        'platform: "ensemble" version_policy { all { } }'
        'ensemble_scheduling { step [ { model_name: "a" }, { model_name: "b" } ] }'
    )
    assert explain(ensemble, ensemble) == ["ensemble of a, b", "all versions: version_policy all"]
