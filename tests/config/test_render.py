import json
from typing import Any

import pytest

from despina.config.read import parse_json, parse_text
from despina.config.render import to_json


def render(text: str) -> dict[str, Any]:
    return to_json(parse_text(text))


def test_scalars_lists_and_maps_always_appear_in_declaration_order() -> None:
    assert list(render("").items()) == [
        ("name", ""),
        ("platform", ""),
        ("backend", ""),
        ("runtime", ""),
        ("max_batch_size", 0),
        ("input", []),
        ("output", []),
        ("batch_input", []),
        ("batch_output", []),
        ("instance_group", []),
        ("default_model_filename", ""),
        ("cc_model_filenames", {}),
        ("metric_tags", {}),
        ("parameters", {}),
        ("model_warmup", []),
    ]


def test_tensors() -> None:
    rendered = render('input { name: "x" data_type: TYPE_FP16 dims: [ -1, 9 ] reshape { } } output { name: "y" }')
    assert list(rendered["input"][0].items()) == [
        ("name", "x"),
        ("data_type", "TYPE_FP16"),
        ("format", "FORMAT_NONE"),
        ("dims", [-1, 9]),
        ("reshape", {"shape": []}),
        ("is_shape_tensor", False),
        ("allow_ragged_batch", False),
        ("optional", False),
        ("is_non_linear_format_io", False),
    ]
    assert rendered["output"] == [
        {
            "name": "y",
            "data_type": "TYPE_INVALID",
            "dims": [],
            "label_filename": "",
            "is_shape_tensor": False,
            "is_non_linear_format_io": False,
        }
    ]


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("version_policy { latest { } }", "version_policy", {"latest": {"num_versions": 0}}),
        ("version_policy { all { } }", "version_policy", {"all": {}}),
        ("version_policy { specific { versions: 7 } }", "version_policy", {"specific": {"versions": [7]}}),
        (
            "dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 default_queue_policy { } "
            "priority_queue_policy { key: 10 value { } } "
            "priority_queue_policy { key: 2 value { max_queue_size: 1 } } }",
            "dynamic_batching",
            {
                "preferred_batch_size": [],
                "max_queue_delay_microseconds": 2**64 - 1,
                "preserve_ordering": False,
                "priority_levels": 0,
                "default_priority_level": 0,
                "default_queue_policy": {
                    "timeout_action": "REJECT",
                    "default_timeout_microseconds": 0,
                    "allow_timeout_override": False,
                    "max_queue_size": 0,
                },
                "priority_queue_policy": {
                    "2": {
                        "timeout_action": "REJECT",
                        "default_timeout_microseconds": 0,
                        "allow_timeout_override": False,
                        "max_queue_size": 1,
                    },
                    "10": {
                        "timeout_action": "REJECT",
                        "default_timeout_microseconds": 0,
                        "allow_timeout_override": False,
                        "max_queue_size": 0,
                    },
                },
            },
        ),
        (
            "sequence_batching { direct { minimum_slot_utilization: 0.1 } "
            "state { dims: 3 initial_state { dims: 3 } } }",
            "sequence_batching",
            {
                "direct": {"max_queue_delay_microseconds": 0, "minimum_slot_utilization": 0.1},
                "max_sequence_idle_microseconds": 0,
                "control_input": [],
                "state": [
                    {
                        "input_name": "",
                        "output_name": "",
                        "data_type": "TYPE_INVALID",
                        "dims": [3],
                        "initial_state": [{"data_type": "TYPE_INVALID", "dims": ["3"], "name": ""}],
                        "use_same_buffer_for_input_output": False,
                        "use_growable_memory": False,
                    }
                ],
                "iterative_sequence": False,
            },
        ),
        (
            "optimization { cuda { graph_spec { input { key: 'x' value { dim: 4 } } } } }",
            "optimization",
            {
                "priority": "PRIORITY_DEFAULT",
                "cuda": {
                    "graphs": False,
                    "busy_wait_events": False,
                    "graph_spec": [{"batch_size": 0, "input": {"x": {"dim": ["4"]}}}],
                    "output_copy_stream": False,
                },
                "gather_kernel_buffer_threshold": 0,
                "eager_batching": False,
            },
        ),
        (
            "instance_group { kind: KIND_GPU gpus: 1 secondary_devices { device_id: 5 } }",
            "instance_group",
            [
                {
                    "name": "",
                    "kind": "KIND_GPU",
                    "count": 0,
                    "gpus": [1],
                    "secondary_devices": [{"kind": "KIND_NVDLA", "device_id": "5"}],
                    "profile": [],
                    "passive": False,
                    "host_policy": "",
                }
            ],
        ),
        (
            "ensemble_scheduling { step { model_version: -1 } }",
            "ensemble_scheduling",
            {
                "step": [
                    {"model_name": "", "model_version": -1, "input_map": {}, "output_map": {}, "model_namespace": ""}
                ],
                "max_inflight_requests": 0,
            },
        ),
        (
            'model_warmup { inputs { key: "x" value { dims: 2 zero_data: false } } }',
            "model_warmup",
            [
                {
                    "name": "",
                    "batch_size": 0,
                    "inputs": {"x": {"data_type": "TYPE_INVALID", "dims": [2], "zero_data": False}},
                    "count": 0,
                }
            ],
        ),
        ('parameters { key: "k" value { string_value: "1" } }', "parameters", {"k": {"string_value": "1"}}),
        ("response_cache { }", "response_cache", {"enable": False}),
        (
            'model_metrics { metric_control { metric_identifier { family: "f" } histogram_options { buckets: 0.1 } } }',
            "model_metrics",
            {"metric_control": [{"metric_identifier": {"family": "f"}, "histogram_options": {"buckets": [0.1]}}]},
        ),
    ],
)
def test_submessages_appear_when_set(text: str, field: str, expected: object) -> None:
    rendered = render(text)[field]
    assert rendered == expected
    assert json.dumps(rendered) == json.dumps(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", "0"), ("1.0", "1"), ("0.5", "0.5"), ("0.1", "0.1"), ("0.3333333", "0.333333313"), ("1e-5", "1e-05")],
)
def test_floating_point_numbers_are_those_of_protobuf(value: str, expected: str) -> None:
    rendered = render(f"sequence_batching {{ direct {{ minimum_slot_utilization: {value} }} }}")["sequence_batching"]
    assert json.dumps(rendered["direct"]["minimum_slot_utilization"]) == expected


def test_whole_buckets_are_integers() -> None:
    rendered = render("model_metrics { metric_control { histogram_options { buckets: [ 1, 2.5, 0.1 ] } } }")
    buckets = rendered["model_metrics"]["metric_control"][0]["histogram_options"]["buckets"]
    assert json.dumps(buckets) == "[1, 2.5, 0.1]"


def test_what_is_rendered_can_be_loaded_again() -> None:
    config = parse_text(
        'name: "m" max_batch_size: 4 input { name: "x" data_type: TYPE_STRING dims: -1 }'
        "dynamic_batching { priority_queue_policy { key: 1 value { timeout_action: DELAY } } }"
        "instance_group { kind: KIND_CPU }"
    )
    assert parse_json(json.dumps(to_json(config))) == config
