import pytest

from despina.config.datatypes import config_name, data_type, protocol_name


@pytest.mark.parametrize(
    ("protocol", "value", "config"),
    [
        ("BOOL", 1, "TYPE_BOOL"),
        ("UINT64", 5, "TYPE_UINT64"),
        ("FP16", 10, "TYPE_FP16"),
        ("BYTES", 13, "TYPE_STRING"),
        ("BF16", 14, "TYPE_BF16"),
    ],
)
def test_names_translate_both_ways(protocol: str, value: int, config: str) -> None:
    assert data_type(protocol) == value
    assert protocol_name(value) == protocol
    assert config_name(value) == config


@pytest.mark.parametrize("protocol", ["COMPLEX64", "", "fp32", "TYPE_FP32"])
def test_unknown_types_are_invalid(protocol: str) -> None:
    assert data_type(protocol) == 0
