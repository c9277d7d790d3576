import pytest

from despina_backends.base import BackendError
from despina_backends.onnxruntime.errors import advise, runtime_error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : idx=9 out\nof bounds",
            "onnx runtime error 2: idx=9 out\nof bounds",
        ),
        ("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load failed", "onnx runtime error 7: Load failed"),
        ("Error in execution: Non-zero status", "onnx runtime error 6: Non-zero status"),
        ("anything else", "onnx runtime error 6: anything else"),
    ],
)
def test_exception_text_becomes_code_and_message(text: str, expected: str) -> None:
    error = runtime_error(RuntimeError(text))
    assert (error.message, error.code) == (expected, "INTERNAL")


def test_our_own_error_passes_through() -> None:
    error = BackendError("closed", "UNAVAILABLE")
    assert runtime_error(error) is error


def test_a_missing_locale_gets_advice(caplog: pytest.LogCaptureFixture) -> None:
    advise("Failed to construct locale with name:en_US.UTF-8:locale::facet::_S_create_c_locale name not valid")
    assert "`apt-get install locales && localedef -i en_US -f UTF-8 en_US.UTF-8`" in caplog.text
