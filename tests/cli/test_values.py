from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from despina.cli import values
from despina.cli.values import CommandLineError
from despina.settings import RateLimitResource


@pytest.mark.parametrize("text", ["true", "TRUE", "On", "1"])
def test_words_for_true(text: str) -> None:
    assert values.boolean(text) is True


@pytest.mark.parametrize("text", ["false", "False", "OFF", "0"])
def test_words_for_false(text: str) -> None:
    assert values.boolean(text) is False


@pytest.mark.parametrize("text", ["", "yes", "2", "truee"])
def test_other_words_are_no_booleans(text: str) -> None:
    with pytest.raises(CommandLineError, match=f"^invalid value for bool option: {text}$"):
        values.boolean(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (values.integer, "12abc"),
        (values.integer, "1.5"),
        (values.integer, ""),
        (values.integer, "1_000"),
        (values.natural, "-1"),
        (values.positive, "0"),
        (values.port, "65536"),
        (values.integer, "10000000000000000000"),
        (values.number, "nan"),
        (values.number, "inf"),
        (values.number, "x"),
        (values.verbosity, "-1"),
        (values.verbosity, "high"),
    ],
)
def test_numbers_out_of_their_range_are_refused(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(CommandLineError, match=f"^Invalid option value. Got {text}; expected a"):
        parse(text)


def test_the_name_of_a_custom_configuration_must_not_be_empty() -> None:
    assert values.config_name("h100") == "h100"
    with pytest.raises(CommandLineError, match=r"^Error: empty argument for --model-config-name$"):
        values.config_name("")


@pytest.mark.parametrize(("text", "level"), [("true", 1), ("FALSE", 0), ("0", 0), ("1", 1), ("3", 3)])
def test_verbosity_is_a_level_or_a_boolean(text: str, level: int) -> None:
    assert values.verbosity(text) == level


@pytest.mark.parametrize("text", ["gs://bucket/models", "s3://bucket", "as://account/container"])
def test_cloud_repositories_are_refused(text: str) -> None:
    with pytest.raises(CommandLineError, match="cloud storage is not read here"):
        values.repository(text)


def test_a_repository_is_a_path() -> None:
    assert values.repository("models/../models") == Path("models/../models")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("::1", "::1"), ("", "")),
        *(("ipv6:[::1]", "::1"), ("ipv6:::1", "::1"), ("[::]", "::"), ("ipv4:127.0.0.1", "127.0.0.1")),
    ],
)
def test_an_address_may_name_its_family(text: str, expected: str) -> None:
    assert values.address(text) == expected


def test_control_mode_ignores_case() -> None:
    assert values.control_mode("EXPLICIT") == "explicit"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("onnxruntime,default-max-batch-size=8", ("onnxruntime", "default-max-batch-size", "8")),
        ("default-max-batch-size=8", ("", "default-max-batch-size", "8")),
        ("b,k=a=b,c", ("b", "k", "a=b,c")),
        ("k=a,b", ("", "k", "a,b")),
        ("b,k=", ("b", "k", "")),
    ],
)
def test_scoped_settings(text: str, expected: tuple[str, str, str]) -> None:
    assert values.scoped_setting("backend-config", text) == expected


@pytest.mark.parametrize("text", ["", "onnxruntime", "onnxruntime,k", ",k=v", "b,=v", "=v"])
def test_malformed_scoped_settings_name_the_flag(text: str) -> None:
    with pytest.raises(CommandLineError, match="--backend-config option format is '<name>,<setting>=<value>'"):
        values.scoped_setting("backend-config", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("r:2", RateLimitResource("r", 2)), ("r:2:0", RateLimitResource("r", 2, 0))],
)
def test_resources(text: str, expected: RateLimitResource) -> None:
    assert values.resource(text) == expected


@pytest.mark.parametrize("text", ["r", ":1", "r:x", "r:1:2:3", "r:-1"])
def test_malformed_resources_are_refused(text: str) -> None:
    with pytest.raises(CommandLineError):
        values.resource(text)


def test_a_restriction_names_apis_and_a_header() -> None:
    found = values.restriction("api", "health,model-config:x-key=a=b:c")
    assert found == (("health", "model-config"), ("x-key", "a=b:c"))


@pytest.mark.parametrize("kind", ["api", "protocol"])
def test_an_unknown_api_is_named(kind: Literal["api", "protocol"]) -> None:
    with pytest.raises(CommandLineError, match=f"unknown restricted {kind} 'helth' "):
        values.restriction(kind, "helth:k=v")


@pytest.mark.parametrize(("kind", "flag"), [("api", "http-restricted-api"), ("protocol", "grpc-restricted-protocol")])
@pytest.mark.parametrize("text", ["health", "health:k", "health:=v"])
def test_a_restriction_without_its_header_is_refused(kind: Literal["api", "protocol"], flag: str, text: str) -> None:
    with pytest.raises(CommandLineError, match=f"^--{flag} option format is "):
        values.restriction(kind, text)


@pytest.mark.parametrize(
    ("parse", "expected"),
    [(values.api_key, "a key that is not empty"), (values.repository, "a directory of models, or a model file")],
)
def test_what_is_empty_is_no_value(parse: Callable[[str], object], expected: str) -> None:
    with pytest.raises(CommandLineError, match=f"^Invalid option value. Got nothing; expected {expected}$"):
        parse("")


def test_a_file_has_one_key_a_line(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\n\n two \r\n")
    assert values.api_keys(str(tmp_path / "keys")) == ("one", "two")


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\n", "utf-8-sig")
    assert values.api_keys(str(tmp_path / "keys")) == ("one",)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff", None])
def test_a_file_without_keys_opens_the_server_to_nobody(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(CommandLineError, match=r"^Invalid option value. Got '.*keys'; expected a file with keys"):
        values.api_keys(str(tmp_path / "keys"))
