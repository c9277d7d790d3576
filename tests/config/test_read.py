import json
import logging
from pathlib import Path

import pytest

from despina.config.proto import ModelConfig
from despina.config.read import config_path, parse_json, read_config, read_model_config
from despina.errors import Internal, InvalidArgument


def read(folder: Path, text: str) -> ModelConfig:
    path = folder / "config.pbtxt"
    path.write_text(text)
    return read_config(path)


@pytest.mark.parametrize(
    "text",
    [
        'name: "m" max_batch_size: 8 input { name: "x" dims: 1 dims: 2 }',
        "name: 'm', max_batch_size: 010; input < name: 'x' dims: [1, 2] >",
        'name: "m" # the name\nmax_batch_size: 0x8 input: [ { name: "x" dims: [ 1 ] dims: 2 } ]',
        '"m"'.join(["name: ", " max_batch_size: 8 input: { name: \"\" 'x' dims: [1, 2] }"]),
    ],
)
def test_spellings_of_the_text_format_mean_the_same(tmp_path: Path, text: str) -> None:
    config = read(tmp_path, text)
    assert (config.name, config.max_batch_size, config.input[0].name, list(config.input[0].dims)) == (
        "m",
        8,
        "x",
        [1, 2],
    )


def test_of_two_map_entries_with_one_key_the_last_wins(tmp_path: Path) -> None:
    entries = "".join(f'parameters {{ key: "k" value {{ string_value: "{value}" }} }}\n' for value in "ab")
    assert read(tmp_path, entries).parameters["k"].string_value == "b"


def test_empty_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert read(tmp_path, "") == ModelConfig()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("max_batch_size: four", "1:17"),
        ("\nmax_batch_sice: 4", "2:1"),
        ('name: "a"\nname: "b"', "2:"),
        ("dynamic_batching { }\nsequence_batching { }", "2:"),
        ("max_batch_size: 08", "1:"),
        ("max_batch_size: 1.5", "1:"),
        ('max_batch_size: "4"', "1:"),
        ("input { dims: [ 1, ] }", "1:"),
        ("input {", "1:"),
    ],
)
def test_unreadable_text_keeps_the_reason_out_of_the_message(
    tmp_path: Path, text: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(Internal) as caught:
        read(tmp_path, text)
    path = tmp_path / "config.pbtxt"
    assert caught.value.message == f"failed to read text proto from {path}"
    assert (caught.value.status, caught.value.word) == (500, "Internal")
    assert [message.startswith(f"{path}:{where}") for message in caplog.messages] == [True]


def test_text_that_is_not_utf8_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b'name: "\xff"')
    with pytest.raises(Internal, match="failed to read text proto"):
        read_config(path)


def test_named_configuration_comes_before_the_plain_one(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "big.pbtxt").write_text("max_batch_size: 64")
    (tmp_path / "config.pbtxt").write_text("max_batch_size: 1")
    assert read_model_config(tmp_path, "big").max_batch_size == 64
    assert read_model_config(tmp_path, "small").max_batch_size == 1
    assert read_model_config(tmp_path).max_batch_size == 1


def test_without_a_file_the_configuration_is_empty_unless_it_is_required(tmp_path: Path) -> None:
    assert config_path(tmp_path, "big") is None
    assert read_model_config(tmp_path, "big") == ModelConfig()
    with pytest.raises(Internal) as caught:
        read_model_config(tmp_path, required=True)
    path = tmp_path / "config.pbtxt"
    assert caught.value.message == f"failed to open text file for read {path}: No such file or directory"


@pytest.mark.parametrize(
    "value",
    [
        {"max_batch_size": 8, "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 2]}]},
        {"maxBatchSize": "8", "input": [{"name": "x", "dataType": "type_fp32", "dims": ["-1", "2"]}]},
        {"max_batch_size": 8.0, "input": [{"name": "x", "data_type": 11, "dims": [-1, 2.0]}]},
        {"max_batch_size": 8, "input": {"name": "x", "data_type": 11, "dims": [[-1], 2]}},
    ],
)
def test_json_spellings_mean_the_same(value: object) -> None:
    config = parse_json(json.dumps(value))
    assert (config.max_batch_size, config.input[0].data_type, list(config.input[0].dims)) == (8, 11, [-1, 2])


def test_json_enums_ignore_case_inside_lists_and_maps_but_strings_keep_theirs() -> None:
    config = parse_json(
        '{"name": "Name", "instance_group": [{"kind": "kind_cpu"}], "dynamic_batching":'
        '{"priority_queue_policy": {"1": {"timeout_action": "delay"}}}, "metric_tags": {"Team": "Red"}}'
    )
    assert config.name == "Name"
    assert config.instance_group[0].kind == 2
    assert config.dynamic_batching.priority_queue_policy[1].timeout_action == 1
    assert dict(config.metric_tags) == {"Team": "Red"}


def test_json_may_have_one_value_for_a_list_and_text_for_a_boolean() -> None:
    config = parse_json('{"input": {"dims": 2, "optional": "true", "allow_ragged_batch": "false"}}')
    assert (list(config.input[0].dims), config.input[0].optional, config.input[0].allow_ragged_batch) == (
        [2],
        True,
        False,
    )


@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        "[]",
        "null",
        '{"nosuch": 1}',
        '{"input": [{"nosuch": 1}]}',
        '{"input": 5}',
        '{"input": [5]}',
        '{"name": 5}',
        '{"max_batch_size": "many"}',
        '{"max_batch_size": 99999999999}',
        '{"max_batch_size": 1, "max_batch_size": 2}',
        '{"instance_group": [{"kind": "KIND_TPU"}]}',
        '{"instance_group": [{"kind": false}]}',
        '{"metric_tags": [1]}',
        '{"dynamic_batching": []}',
        '{"parameters": {"a": "b"}}',
        '{"input": [{"dims": [Infinity]}]}',
        '{"input": [{"optional": "yes"}]}',
        '{"dynamic_batching": {}, "sequence_batching": {}}',
        '{"max\udcf8": 4}',
        '{"input": [{"dims\udcf8": 4}]}',
        '{"parameters": {"a\udcf8": {"string_value": "b"}}}',
        '{"parameters": {"a": {"string_value": "b\udcf8"}}}',
        "[" * 100_000,
    ],
)
def test_json_that_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid config override: "):
        parse_json(text)


@pytest.mark.parametrize("text", ["[]", "null", '"m"', "5"])
def test_json_that_is_no_object_is_refused_as_such(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid config override: the configuration must be a JSON object"):
        parse_json(text)


@pytest.mark.parametrize(
    ("content", "where"),
    [(b"\xff\xfe\0b", "1:1 : expected UTF-8, found byte 0xff"), (b'name: "m"\n# \xe4', "2:3 : expected UTF-8, found")],
)
def test_file_that_is_not_utf_8_is_named_with_the_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, where: str
) -> None:
    (tmp_path / "config.pbtxt").write_bytes(content)
    with caplog.at_level(logging.ERROR), pytest.raises(Internal, match="failed to read text proto"):
        read_config(tmp_path / "config.pbtxt")
    assert where in caplog.text


def test_the_first_field_that_is_given_twice_is_found_at_once() -> None:
    fields = [f"f{number}" for number in range(200_000)]
    text = ",".join(f'"{name}":1' for name in [*fields, *fields[100_000:]])
    with pytest.raises(InvalidArgument, match="field 'f100000' is given twice"):
        parse_json("{" + text + "}")
