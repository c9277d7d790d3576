import pytest

from despina.deploy.reference import ModelReference, model_not_found, parse_reference
from despina.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("densenet_onnx", ModelReference("densenet_onnx")),
        ("densenet_onnx:1", ModelReference("densenet_onnx", 1)),
        ("bidaf-9.tutorial:12", ModelReference("bidaf-9.tutorial", 12)),
        ("a" * 255, ModelReference("a" * 255)),
    ],
)
def test_references_are_read_and_written(text: str, reference: ModelReference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "m:",
        "m:0",
        "m:-1",
        "m:x",
        "m:1:2",
        "m:²",
        "-m",
        "a/b",
        "a b",
        "a" * 256,
        "m\n",
        "m:" + "9" * 19,
        "m:" + "9" * 5000,
    ],
)
def test_bad_references_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_reference(text)


def test_not_found_names_the_likely_one() -> None:
    have = [ModelReference("my_triton_model", 1)]
    error = model_not_found(ModelReference("triton_model", 1), have)
    assert error.message == "model triton_model:1 not found; have my_triton_model:1"


def test_not_found_puts_other_versions_of_the_name_first_and_stops_at_ten() -> None:
    have = [ModelReference("zebra", 1), *(ModelReference("m", version) for version in range(1, 12))]
    message = model_not_found(ModelReference("m", 40), have).message
    assert message.startswith("model m:40 not found; have m:11, m:10, ")
    assert message.endswith("m:2 and 2 more")


def test_not_found_in_an_empty_registry_says_what_to_do() -> None:
    assert model_not_found(ModelReference("m"), []).message == (
        "model m not found; have none, register one with `despina model register`"
    )
