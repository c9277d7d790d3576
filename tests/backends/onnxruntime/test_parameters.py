import pytest

from despina_backends.base import BackendError
from despina_backends.onnxruntime.parameters import boolean, integer


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("ON", True), ("1", True), ("False", False), ("off", False), ("0", False)]
)
def test_spellings_of_booleans(text: str, value: bool) -> None:
    assert boolean(text) is value


def test_other_words_are_refused() -> None:
    with pytest.raises(BackendError, match=r"^failed to convert 'yes' to boolean$"):
        boolean("yes")
    with pytest.raises(BackendError, match=r"^failed to convert '1.5' to integral number$"):
        integer("1.5")
