"""Models loaded with configurations that are almost right."""

import copy
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from tests.differential.servers import Pair
from tests.fuzz.corpus import Good
from tests.fuzz.mutation import mutate_json

Config = dict[str, Any]

MODELS = (
    *("add_sub_int32", "add_sub_fp32_auto", "identity_bytes", "digits", "reshape_io", "reshape_scalar", "two_var"),
    *("optional_in", "rich", "ordered", "mixed", "gather", "text_gen", "partial_config", "scalar_out"),
)
SHORT: tuple[Config, ...] = (
    {},
    {"backend": "onnxruntime"},
    {"platform": "onnxruntime_onnx"},
    {"max_batch_size": 4},
    {"dynamic_batching": {}},
    {"instance_group": [{"kind": "KIND_CPU"}]},
)
_REJECT = {"default_queue_policy": {"timeout_action": "REJECT", "max_queue_size": 2}}
_ZEROS = {"data_type": "TYPE_INT32", "dims": [16], "zero_data": True}
FIELDS: dict[str, tuple[Any, ...]] = {
    "max_batch_size": (0, 1, 8, -1, "8", 1.5, None, True),
    "backend": ("onnxruntime", "python", "nope", "", "tensorrt"),
    "platform": ("onnxruntime_onnx", "tensorrt_plan", "ensemble", "nope", ""),
    "name": ("other", ""),
    "default_model_filename": ("model.onnx", "nope.onnx", ""),
    "version_policy": ({"latest": {"num_versions": 0}}, {"all": {}}, {"specific": {"versions": [7]}}, {}),
    "dynamic_batching": (
        *({"preferred_batch_size": [size]} for size in (4, 0, -1, 100)),
        *({"max_queue_delay_microseconds": 100}, {"priority_levels": 2}, {"default_priority_level": 1}, _REJECT),
        {"priority_levels": 2, "default_priority_level": 1, "priority_queue_policy": {"5": {"max_queue_size": 3}}},
    ),
    "instance_group": (
        *([{"kind": kind}] for kind in ("KIND_CPU", "KIND_GPU", "KIND_AUTO", "KIND_MODEL")),
        *([{}], [{"kind": "KIND_CPU", "count": -1}], [{"kind": "KIND_CPU", "gpus": [0]}], []),
        [{"name": "a", "kind": "KIND_CPU"}, {"name": "a", "kind": "KIND_CPU"}],
    ),
    "optimization": ({"graph": {"level": -1}}, {"graph": {"level": 7}}, {"priority": "PRIORITY_MAX"}),
    "parameters": (
        *({"intra_op_thread_count": {"string_value": value}} for value in ("1", "x", "")),
        *({"execution_mode": {"string_value": "9"}}, {"nope": {"string_value": "1"}}, {"x": "y"}),
    ),
    "sequence_batching": (
        *({}, {"direct": {}}, {"oldest": {"max_candidate_sequences": 4}}),
        {
            "control_input": [
                {"name": "START", "control": [{"kind": "CONTROL_SEQUENCE_START", "int32_false_true": [0, 1]}]}
            ]
        },
    ),
    "ensemble_scheduling": ({}, {"step": [{"model_name": "digits", "model_version": -1}]}),
    "response_cache": ({"enable": True}, {"enable": False}),
    "model_warmup": ([{"name": "w", "batch_size": 1}], [{"name": "w", "batch_size": 1, "inputs": {"INPUT0": _ZEROS}}]),
    "foo": (1,),
}
TENSOR_FIELDS: dict[str, tuple[Any, ...]] = {
    "name": ("", "X", "INPUT0", "OUTPUT0"),
    "data_type": ("TYPE_INT32", "TYPE_FP32", "TYPE_STRING", "TYPE_INVALID", "TYPE_BF16", "FP32", 11, 0),
    "dims": ([], [1], [16], [-1], [-1, -1], [0], [-2], [1, 16], ["16"], None),
    "format": ("FORMAT_NHWC", "FORMAT_NONE"),
    "reshape": ({"shape": []}, {"shape": [1]}, {"shape": [4, 4]}, {"shape": [-1]}, {}),
    "allow_ragged_batch": (True, False),
    "optional": (True, False),
    "is_shape_tensor": (True,),
    "label_filename": ("x.txt", ""),
    "foo": (1,),
}


def changed_configurations(seed: int, pair: Pair) -> Iterator[Sequence[Good]]:
    """Loads without end, each followed by a look at what came of it."""
    rng = random.Random(seed)
    whole = {model: _configuration(model, pair) for model in MODELS}
    while True:
        model = rng.choice(MODELS)
        config = copy.deepcopy(rng.choice((whole[model], _without_defaults(whole[model]), rng.choice(SHORT))))
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            config = _changed(config, rng)
        body = json.dumps({"parameters": {"config": json.dumps(config)}}).encode()
        load = Good("POST", f"/v2/repository/models/{model}/load", (("Content-Length", str(len(body))),), body)
        yield [load, Good("GET", f"/v2/models/{model}/config", (), b""), Good("GET", f"/v2/models/{model}", (), b"")]


def _configuration(model: str, pair: Pair) -> Config:
    answer, _ = pair.ask(Good("GET", f"/v2/models/{model}/config", (), b""))
    assert answer is not None
    assert answer.status == 200
    config: Config = json.loads(answer.body)
    return config


def _without_defaults(config: Any) -> Any:
    if isinstance(config, dict):
        kept = {key: _without_defaults(value) for key, value in config.items()}
        return {key: value for key, value in kept.items() if value not in (0, "", [], {}, "FORMAT_NONE")}
    return [_without_defaults(item) for item in config] if isinstance(config, list) else config


def _changed(config: Config, rng: random.Random) -> Config:
    choice = rng.random()
    kinds = [config[kind] for kind in ("input", "output") if isinstance(config.get(kind), list)]
    tensors = [tensor for kind in kinds for tensor in kind if isinstance(tensor, dict)]
    if choice < 0.5 or not config:
        field = rng.choice(list(FIELDS))
        return {**config, field: rng.choice(FIELDS[field])}
    if choice < 0.85 and tensors:
        field = rng.choice(list(TENSOR_FIELDS))
        rng.choice(tensors)[field] = rng.choice(TENSOR_FIELDS[field])
        return config
    if choice < 0.95:
        del config[rng.choice(list(config))]
        return config
    changed = mutate_json(config, rng, 1)
    return changed if isinstance(changed, dict) else {}
