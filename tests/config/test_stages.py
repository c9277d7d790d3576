from pathlib import Path

import pytest

from despina.config.proto import ModelConfig
from despina.config.read import parse_text
from despina.config.render import to_json
from despina.config.stages import model_stage, placement_stage, poll_stage
from despina.errors import InvalidArgument
from despina_backends.base import TensorMetadata

X = {"x": TensorMetadata("x", "FP32", (-1, 16))}
Y = {"y": TensorMetadata("y", "FP32", (-1, 16))}


def config(text: str) -> ModelConfig:
    return parse_text(text)


def directory(folder: Path) -> Path:
    (folder / "1").mkdir()
    (folder / "1" / "model.onnx").touch()
    return folder


def test_model_without_a_configuration_gets_the_whole_of_it(tmp_path: Path) -> None:
    polled = poll_stage(ModelConfig(), "m", directory(tmp_path), strict=False)
    final = model_stage(placement_stage(polled, [0]), X, Y, 4, strict=False)
    assert to_json(final) == {
        "name": "m",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "runtime": "",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 4,
        "input": [
            {
                "name": "x",
                "data_type": "TYPE_FP32",
                "format": "FORMAT_NONE",
                "dims": [16],
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": False,
                "is_non_linear_format_io": False,
            }
        ],
        "output": [
            {
                "name": "y",
                "data_type": "TYPE_FP32",
                "dims": [16],
                "label_filename": "",
                "is_shape_tensor": False,
                "is_non_linear_format_io": False,
            }
        ],
        "batch_input": [],
        "batch_output": [],
        "optimization": {
            "priority": "PRIORITY_DEFAULT",
            "input_pinned_memory": {"enable": True},
            "output_pinned_memory": {"enable": True},
            "gather_kernel_buffer_threshold": 0,
            "eager_batching": False,
        },
        "dynamic_batching": {
            "preferred_batch_size": [4],
            "max_queue_delay_microseconds": 0,
            "preserve_ordering": False,
            "priority_levels": 0,
            "default_priority_level": 0,
            "priority_queue_policy": {},
        },
        "instance_group": [
            {
                "name": "m",
                "kind": "KIND_GPU",
                "count": 1,
                "gpus": [0],
                "secondary_devices": [],
                "profile": [],
                "passive": False,
                "host_policy": "",
            }
        ],
        "default_model_filename": "model.onnx",
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {},
        "model_warmup": [],
    }


def test_bad_tensors_fail_the_poll_when_strict_and_the_load_when_not(tmp_path: Path) -> None:
    written = config('backend: "onnxruntime" input { name: "x" dims: 16 } output { name: "y" dims: 16 }')
    message = "model input 'x' must specify 'data_type' for m"
    with pytest.raises(InvalidArgument, match=message):
        poll_stage(written, "m", directory(tmp_path), strict=True)
    polled = poll_stage(written, "m", tmp_path, strict=False)
    with pytest.raises(InvalidArgument, match=message):
        model_stage(placement_stage(polled, []), X, Y, 4, strict=False)


def test_strict_leaves_the_model_out_of_it(tmp_path: Path) -> None:
    polled = poll_stage(config('backend: "onnxruntime"'), "m", tmp_path, strict=True)
    final = model_stage(placement_stage(polled, []), X, Y, 4, strict=True)
    assert (final.max_batch_size, len(final.input)) == (0, 0)


def test_schedulers_fail_the_poll_and_states_the_load(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="preferred size"):
        poll_stage(
            config('backend: "onnxruntime" dynamic_batching { preferred_batch_size: 1 }'), "m", tmp_path, strict=False
        )
    polled = poll_stage(
        config('backend: "onnxruntime" sequence_batching { state { input_name: "s" } state { input_name: "s" } }'),
        "m",
        tmp_path,
        strict=False,
    )
    with pytest.raises(InvalidArgument, match="specified more than once"):
        model_stage(placement_stage(polled, []), X, Y, 4, strict=False)


def test_an_ensemble_is_not_completed(tmp_path: Path) -> None:
    written = config(
        'platform: "ensemble" input { name: "a" data_type: TYPE_FP32 dims: 1 } ensemble_scheduling { step [ '
        '{ model_name: "s" input_map { key: "x" value: "a" } output_map { key: "y" value: "b" } }, '
        '{ model_name: "t" input_map { key: "x" value: "b" } output_map { key: "y" value: "a" } } ] }'
    )
    polled = poll_stage(written, "e", tmp_path, strict=False)
    assert model_stage(polled, {}, {}, 4, strict=False) == polled


def test_ensembles_pass_all_stages(tmp_path: Path) -> None:
    written = config(
        'platform: "ensemble" input { name: "a" data_type: TYPE_FP32 dims: 1 }'
        'output { name: "z" data_type: TYPE_FP32 dims: 1 } ensemble_scheduling { step { model_name: "s" '
        'input_map { key: "x" value: "a" } output_map { key: "y" value: "z" } } }'
    )
    polled = poll_stage(written, "e", tmp_path, strict=False)
    final = model_stage(placement_stage(polled, [0]), {}, {}, 4, strict=False)
    assert final == polled
    assert not final.instance_group
